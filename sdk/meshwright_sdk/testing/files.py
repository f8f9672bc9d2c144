"""`import_file`: a plugin file as a module, for its tests; the gateway itself imports plugin files elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def import_file(file: Path | str) -> ModuleType:
    """Return the module of a Python file that need not be on the search path, as plugin files in a folder are not.

    Tests say it from their own place: `import_file(Path(__file__).parent.parent / "filters" / "stamp.py")`. The
    file is executed each time, so that every test module has its own. Raises FileNotFoundError, and whatever the
    file raises.
    """
    path = Path(file).resolve(strict=True)
    spec = importlib.util.spec_from_file_location(f"meshwright_test_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"import_file: expected a file that ends in .py; got {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
