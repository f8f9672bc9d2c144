"""Finding plugins and holding them: pluggy, files, modules, entry points; what a plugin does goes elsewhere."""
