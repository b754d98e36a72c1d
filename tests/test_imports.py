import pathlib

import jaxnas

ROOT = pathlib.Path(jaxnas.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
NETWORKS = {"types", "check", "execution", "lanes", "spaces", "networks"}
