"""State machines: a table (pure), a machine (pure), the actor around them, and pictures of the table.

Order of reading: ``table``, ``machine``, ``rows``, ``actor``, ``diagram``.
"""

from .actor import StateMachine as StateMachine
from .rows import on as on
from .rows import on_enter as on_enter
from .rows import on_exit as on_exit
from .rows import on_quiet as on_quiet
from .rows import on_timeout as on_timeout
from .table import END as END
