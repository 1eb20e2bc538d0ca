"""Worker processes of a node: ``Node(processes=4)``.

Order of reading: ``settings`` (what may be set), ``control`` (what is said over the pipe), ``lines`` (output, line by
line), ``folder`` (of the sockets), ``program`` (what of the program is carried over), ``logs`` (records come home),
``process`` (one OS process, seen from the parent), ``workers`` (the actors that own processes), ``staff`` (what a node
holds), ``worker`` (the process itself).
"""
