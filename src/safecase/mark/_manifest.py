"""C2PA manifests: who says that this was generated, signed and bound to the file's bytes."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from safecase.mark._errors import KeysUnusable, MissingExtra, NotMarkable

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for media made by a trained model."""
_AI_SOURCES = {TRAINED, TRAINED.replace("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")}
EXPIRED = "signingCredential.expired"
"""Code of the specification: the signer's certificate was valid once, and nothing says that it was when it signed."""
WATERMARK_ASSERTION = "org.safecase.watermark"
_OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True}

SignBytes = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signs.

    Attributes:
        chain: certificates, PEM, the signer's first, the root left out.
        sign: the private key as PEM, or a function that signs bytes (a key in a vault): DER for an elliptic curve,
            the plain signature otherwise, with the hash that the certificate's key implies.
        timestamp_url: a time-stamping authority; None asks nobody, and no network is used.
    """

    chain: str
    sign: str | SignBytes = field(repr=False)
    timestamp_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a file's active manifest says, and how far to believe it.

    Attributes:
        state: `trusted`: signature, bytes and signer are in order; `untrusted`: all but the signer, whom no anchor
            covers, or whose certificate has expired; `invalid`: signature or bytes are not in order.
        signer: organisation and name in the certificate; a claim unless trusted.
        generator: program that made the manifest, and the model where it is named.
        source_type: the digital source type of what was created, of an ingredient where only that was generated; None
            where it is not said.
        watermark: payload that the manifest says the pixels carry, hex.
        failures: validation codes of the specification.
    """

    state: Literal["trusted", "untrusted", "invalid"]
    signer: str
    generator: str
    source_type: str | None
    watermark: str | None
    failures: tuple[str, ...] = ()

    @property
    def says_generated(self) -> bool:
        """Whether it says that a trained model made this, or a part of it."""
        return self.source_type in _AI_SOURCES


def sign_manifest(
    data: bytes, *, mime: str, signer: Signer, model: str, title: str, watermark: bytes | None = None
) -> bytes:
    """Give a file a manifest that says a trained model made it.

    Args:
        data: the file.
        mime: its media type.
        model: what made it, as it shall be named.
        title: the file's name.
        watermark: payload that the pixels carry.

    Raises:
        NotMarkable: the file cannot carry a manifest, or has one.
        KeysUnusable: certificate and key do not fit together, or C2PA refuses them.
    """
    c2pa = _c2pa()
    if read_manifest(data, mime=mime) is not None:
        raise NotMarkable("carries a manifest already, which says who made it; see `safecase mark detect`")
    out = io.BytesIO()
    settings = {"builder": {"thumbnail": {"enabled": False}}, "verify": _OFFLINE}
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(settings), _native(signer))
    except (c2pa.C2paError, UnicodeError) as error:
        raise KeysUnusable(f"the signer's certificates or key cannot be used ({_plain(error)})") from None
    try:
        with context, c2pa.Builder(_definition(model=model, title=title, watermark=watermark), context) as builder:
            builder.sign(mime, io.BytesIO(data), out)
    except c2pa.C2paError as error:
        kind = KeysUnusable if "ignature" in str(error) or "ertificate" in str(error) else NotMarkable
        raise kind(f"no manifest could be made ({_plain(error)})") from None
    return out.getvalue()


def read_manifest(data: bytes, *, mime: str, trust: str | None = None) -> Manifest | None:
    """Read and validate a file's manifest, offline.

    Args:
        trust: anchors, PEM; without one no signer is trusted.

    Returns:
        None where there is none.

    Raises:
        NotMarkable: the file cannot be read as what its name says.
    """
    c2pa = _c2pa()
    settings: dict[str, Any] = {"verify": _OFFLINE}
    if trust is not None:
        settings["trust"] = {"trust_anchors": trust}
    try:
        with c2pa.Context(c2pa.Settings.from_dict(settings)) as context:
            reader = c2pa.Reader.try_create(mime, io.BytesIO(data), context=context)
            if reader is None:
                return None
            with reader:
                return _manifest(reader.get_validation_state(), json.loads(reader.json()))
    except c2pa.C2paError as error:
        raise NotMarkable(f"cannot be read as {mime} ({_plain(error)})") from None


def _definition(*, model: str, title: str, watermark: bytes | None) -> dict[str, Any]:
    created = {"action": "c2pa.created", "digitalSourceType": TRAINED, "softwareAgent": {"name": model}}
    assertions: list[dict[str, Any]] = [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}]
    if watermark is not None:
        assertions.append({"label": WATERMARK_ASSERTION, "data": {"version": 1, "payload": watermark.hex()}})
    return {"claim_generator_info": [{"name": "safecase"}], "title": title, "assertions": assertions}


def _manifest(state: str | None, store: dict[str, Any]) -> Manifest | None:
    active = store.get("manifests", {}).get(store.get("active_manifest"))
    if active is None:
        return None
    results = store.get("validation_results", {}).get("activeManifest", {})
    failures = tuple(sorted({str(one.get("code")) for one in results.get("failure", ())}))
    if EXPIRED in failures and {EXPIRED, "signingCredential.untrusted"}.issuperset(failures):
        state = "Valid"
    said = {one.get("label", "").partition("__")[0]: one.get("data", {}) for one in active.get("assertions", ())}
    sourced = [one for manifest in (active, *store["manifests"].values()) for one in _sourced(manifest)]
    # What was made from something generated is generated in part, whatever was done to it since.
    generated = [one for one in sourced if one["digitalSourceType"] in _AI_SOURCES]
    created: dict[str, Any] = next(iter(generated or sourced), {})
    info = active.get("signature_info") or {}
    programs = [one.get("name", "") for one in active.get("claim_generator_info") or ()]
    agent = created.get("softwareAgent")
    programs.append(agent.get("name", "") if isinstance(agent, dict) else str(agent or ""))
    return Manifest(
        state="trusted" if state == "Trusted" else "untrusted" if state == "Valid" else "invalid",
        signer=", ".join(str(info[name]) for name in ("issuer", "common_name") if info.get(name)),
        generator=", ".join(name for name in programs if name),
        source_type=created.get("digitalSourceType"),
        watermark=said.get(WATERMARK_ASSERTION, {}).get("payload"),
        failures=failures,
    )


def _sourced(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Actions of a manifest that name a digital source type."""
    found = [one for one in manifest.get("assertions", ()) if str(one.get("label", "")).startswith("c2pa.actions")]
    return [action for one in found for action in one["data"].get("actions", ()) if action.get("digitalSourceType")]


def _native(signer: Signer) -> Any:
    c2pa = _c2pa()
    name = _algorithm(signer.chain)
    if isinstance(signer.sign, str):
        url = signer.timestamp_url.encode() if signer.timestamp_url else None
        info = c2pa.C2paSignerInfo(name.lower().encode(), signer.chain.encode(), signer.sign.encode(), url)
        return c2pa.Signer.from_info(info)
    algorithm = getattr(c2pa.C2paSigningAlg, name)
    return c2pa.Signer.from_callback(signer.sign, algorithm, signer.chain, signer.timestamp_url)


def _algorithm(chain: str) -> str:
    """C2PA's name of the algorithm that the first certificate's key implies."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        key = x509.load_pem_x509_certificates(chain.encode())[0].public_key()
    except ValueError as error:
        raise KeysUnusable(f"the signer's certificates cannot be read ({error})") from None
    if isinstance(key, ec.EllipticCurvePublicKey):
        name = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}.get(key.curve.name)
    else:
        name = "ED25519" if isinstance(key, ed25519.Ed25519PublicKey) else None
        name = "PS256" if isinstance(key, rsa.RSAPublicKey) else name
    if name is None:
        raise KeysUnusable("the signer's key is of a kind that C2PA does not allow; use P-256, Ed25519 or RSA")
    return name


def _plain(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _c2pa() -> Any:  # c2pa-python ships no types
    try:
        import c2pa
    except ImportError:
        raise MissingExtra("c2pa-python") from None
    return c2pa
