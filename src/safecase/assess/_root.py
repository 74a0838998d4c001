"""The evidence of a case under one digest, which its decision names."""

from safecase.assess._case import Case
from safecase.assess._suites_read import IMPORTED, REVIEWS, UPLIFT
from safecase.evidence import digest_file, digest_value


def evidence_root(case: Case) -> str:
    """Digest over every segment of trials, judgements and attempts, in order, and what stands beside attempts."""
    segments = [*case.trials.segments(), *case.judgements.segments(), *case.attempts.segments()]
    listed = [[segment.path, segment.sha256] for segment in segments]
    beside = [
        [path.relative_to(case.path).as_posix(), digest_file(path)]
        for folder in (IMPORTED, REVIEWS, UPLIFT)
        for path in sorted((case.path / folder).glob("*.json"))
    ]
    return digest_value([*listed, *beside])
