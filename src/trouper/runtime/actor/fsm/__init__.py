"""State machines, after Erlang's ``gen_statem``.

``decorators`` declares rows, ``table`` (pure) checks them, ``machine`` (pure) decides, ``machine_actor`` is the actor,
``diagram`` (pure) draws the table.
"""

from .decorators import on as on
from .decorators import on_enter as on_enter
from .decorators import on_event_timeout as on_event_timeout
from .decorators import on_exit as on_exit
from .decorators import on_state_timeout as on_state_timeout
from .machine_actor import StateMachine as StateMachine
from .table import END as END
