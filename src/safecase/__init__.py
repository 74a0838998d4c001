"""safecase runs a frontier-AI safety framework end to end.

Each package is a room with one verb: `declare`, `compose`, `run`, `measure`, `decide`, `report`; the nouns
(`evidence`, `models`, `detect`, `safeguard`, `exchange`, `testing`) carry them. `docs/architecture.md` is the map.
"""

__version__ = "0.1.0"
