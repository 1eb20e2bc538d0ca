"""The runtime: the kernel, sessions between nodes, and the services of a node.

Import public names from ``trouper``.  This package is reached as ``trouper.runtime``; the link at the root of the
checkout is for the eye only.
"""

if __name__ != "trouper.runtime":
    raise ImportError(
        f"this package was imported as {__name__!r} through the link at the root of the repository; "
        f"import it as 'trouper.runtime' instead"
    )
