"""TEMPORARY face until the room is finished."""
from safecase.evidence._digest import *
from safecase.evidence._digest import canonical_json, digest_bytes, digest_file, digest_value
from safecase.evidence._values import *
from safecase.evidence._values import CALIBRATIONS, VERDICTS
from safecase.evidence._ledger import Ledger
from safecase.evidence._errors import *
from safecase.evidence._merkle import merkle_root
