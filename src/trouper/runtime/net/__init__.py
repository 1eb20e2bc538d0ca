"""Remote actors: refs, asks, spawns and watches that reach other nodes.

``cell`` is the local side of an actor elsewhere, ``peer`` one node as another one sees it, ``control`` what the two
tell each other about actors, ``network`` the transports and links below.
"""
