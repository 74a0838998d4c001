"""Mark what a model generated, and find the marks again.

Takes:  pictures, audio, video, text and token ids; keys.
Gives:  marked files (visible label or notice, C2PA manifest, invisible watermark), provenance as headers and JSON, a
        bias for samplers; and what of it is found in a file, how sure, and what of it is untrusted.
Does not own: generating, serving, or saying that something unmarked was *not* generated.
"""

from safecase.mark._certificates import Chain, Keys, make_chain, read_keys, write_keys
from safecase.mark._errors import KeysUnusable, MarkError, MissingExtra, NotMarkable
from safecase.mark._files import (
    KINDS,
    SIDECAR,
    Detection,
    Kind,
    Marked,
    MarkedPicture,
    Marking,
    Verdict,
    detect_file,
    mark_file,
    mark_picture,
)
from safecase.mark._label import PLACES, Label, Place, draw_label
from safecase.mark._manifest import TRAINED, Manifest, Signer, read_manifest, sign_manifest
from safecase.mark._text import NOTICES, Provenance, add_notice, find_notice, provenance
from safecase.mark._tokens import TokenEvidence, TokenMark, bias_logits, count_green, fixed_bias, green_needed
from safecase.mark._watermark import FOUND_AT, PAYLOAD_BYTES, SMALLEST, Found, embed, find

__all__ = [
    "FOUND_AT",
    "KINDS",
    "NOTICES",
    "PAYLOAD_BYTES",
    "PLACES",
    "SIDECAR",
    "SMALLEST",
    "TRAINED",
    "Chain",
    "Detection",
    "Found",
    "Keys",
    "KeysUnusable",
    "Kind",
    "Label",
    "Manifest",
    "MarkError",
    "Marked",
    "MarkedPicture",
    "Marking",
    "MissingExtra",
    "NotMarkable",
    "Place",
    "Provenance",
    "Signer",
    "TokenEvidence",
    "TokenMark",
    "Verdict",
    "add_notice",
    "bias_logits",
    "count_green",
    "detect_file",
    "draw_label",
    "embed",
    "find",
    "find_notice",
    "fixed_bias",
    "green_needed",
    "make_chain",
    "mark_file",
    "mark_picture",
    "provenance",
    "read_keys",
    "read_manifest",
    "sign_manifest",
    "write_keys",
]
