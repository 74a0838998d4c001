"""Others' logs in, ours out.

Takes:  files that other tools wrote.
Gives:  `Trial`s that count as evidence like our own, marked as imported.
Does not own: judging what comes in, or trusting it: an import states its file and digest in the ledger.
"""

from safecase.exchange._transcripts import TranscriptError, read_transcripts

__all__ = ["TranscriptError", "read_transcripts"]
