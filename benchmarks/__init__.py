"""Load tests that compare Meshwright with other proxies, on this machine's loopback and one core each."""
