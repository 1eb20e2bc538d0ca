"""Routers: one ref in front of several actors.

``strategies`` (pure) choose the routee of a message, ``gather`` answers one ask from several, ``router`` is the actor;
``pool`` spawns its routees, ``group_router`` finds existing ones.
"""
