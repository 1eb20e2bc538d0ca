"""Worker processes of a node: ``Node(workers=4)``.

Order of reading: ``settings``, ``protocol`` (the messages over the pipe between node and worker), ``output_lines``,
``socket_folder``, ``program`` (what a worker takes over of the parent's program), ``log_forwarding``,
``worker_process`` (one OS process, as its parent sees it), ``worker_actors`` (the actors that own the processes),
``manager`` (the workers of a node), ``worker`` (the main program of a worker process).
"""
