"""What was said of each trial, small enough to hold for all of them: about thirty bytes a trial."""

from collections.abc import Iterable

import numpy as np

from safecase.evidence import VERDICTS, Judgement
from safecase.measure._columns import Finder, Names, as_ids, chunks


class VerdictIndex:
    """The last judgement of every trial, by trial id. Scores and reasons are not kept.

    Args:
        judgements: read once, a chunk at a time.
    """

    def __init__(self, judgements: Iterable[Judgement]) -> None:
        self._judges, self._digests = Names(), Names()
        ids, verdicts, judges, digests = [as_ids([])], [np.empty(0, np.int8)], [self._judges.encode([])], []
        digests.append(self._digests.encode([]))
        for some in chunks(judgements):
            ids.append(as_ids(row.trial_id for row in some))
            places = [-1 if row.verdict is None else VERDICTS.index(row.verdict) for row in some]
            verdicts.append(np.array(places, dtype=np.int8))
            judges.append(self._judges.encode([row.judge for row in some]))
            digests.append(self._digests.encode([row.judge_digest for row in some]))
        every = np.concatenate(ids)
        distinct, from_end = np.unique(every[::-1], return_index=True)
        last = every.size - 1 - from_end
        self._finder = Finder(distinct)
        self._verdict = np.concatenate(verdicts)[last]
        self._judge = np.concatenate(judges)[last]
        self._digest = np.concatenate(digests)[last]

    def __len__(self) -> int:
        return int(self._verdict.size)

    def holds(self, trial_ids: Iterable[str]) -> list[bool]:
        """Whether each of these trials was judged."""
        return [bool(place >= 0) for place in self._finder.find(as_ids(trial_ids))]

    def scores(self, trial_ids: Iterable[str]) -> list[bool]:
        """Whether each of these trials was judged, and not left unscored."""
        place = self._finder.find(as_ids(trial_ids))
        return [bool(at >= 0 and self._verdict[at] >= 0) for at in place]

    def get(self, trial_id: str) -> Judgement | None:
        """The last judgement of a trial, None where there is none."""
        place = int(self._finder.find(as_ids([trial_id]))[0])
        if place < 0:
            return None
        verdict = int(self._verdict[place])
        return Judgement(
            trial_id=trial_id,
            judge=list(self._judges)[self._judge[place]],
            judge_digest=list(self._digests)[self._digest[place]],
            verdict=None if verdict < 0 else VERDICTS[verdict],
        )
