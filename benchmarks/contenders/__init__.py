"""The proxies that are compared: how each is started and configured, in a file of its own."""
