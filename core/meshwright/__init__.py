"""The proxy: it carries traffic and holds no policy."""
