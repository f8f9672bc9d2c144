"""Processes, listeners and the way of a configuration into them; what happens to a request goes elsewhere."""
