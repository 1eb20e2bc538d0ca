"""What a node does for its peers besides messages: groups, look-ups and introspection across nodes."""
