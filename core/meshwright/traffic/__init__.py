"""One worker's traffic: snapshots, routes, chains, services and pools; sockets of clients go elsewhere."""
