"""The runtime wing: the kernel, the wire, and the furniture around them.

Import public names from ``trouper``.  This package is reached as ``trouper.runtime``; the link at the root of the
checkout is for the eye only.
"""

if __name__ == "runtime":
    raise ImportError("import trouper.runtime (or better: names from trouper), not the link `runtime` at the root")
