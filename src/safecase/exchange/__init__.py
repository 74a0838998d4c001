"""Others' logs in, ours out.

Takes:  files that other tools wrote; trials, judgements, estimates and findings.
Gives:  `Trial`s that count as evidence like our own, marked as imported, with the tool's scores beside them; Inspect
        logs and tables.
Does not own: judging what comes in, or trusting it: an import states its file and digest in the ledger.
"""

from safecase.exchange._errors import ExchangeError, ExportError, LogError, MissingExtra, TranscriptError
from safecase.exchange._import import (
    FORMATS,
    Format,
    Source,
    Survey,
    digests_of,
    open_source,
    read_source,
    read_transcripts,
    survey,
)
from safecase.exchange._inspect_in import inspect_rows
from safecase.exchange._inspect_out import InspectLog, LogAbout, write_inspect
from safecase.exchange._mapping import FIELDS, FieldMap, parse_field_map
from safecase.exchange._tables import COLUMNS, TABLES, Column, Row, Table, html_table, judgement_row, trial_row
from safecase.exchange._trial import COUNTED, KEPT_ONLY
from safecase.exchange._write import FileFormat, Written, whole_file, write_table

__all__ = [
    "COLUMNS",
    "COUNTED",
    "FIELDS",
    "FORMATS",
    "KEPT_ONLY",
    "TABLES",
    "Column",
    "ExchangeError",
    "ExportError",
    "FieldMap",
    "FileFormat",
    "Format",
    "InspectLog",
    "LogAbout",
    "LogError",
    "MissingExtra",
    "Row",
    "Source",
    "Survey",
    "Table",
    "TranscriptError",
    "Written",
    "digests_of",
    "html_table",
    "inspect_rows",
    "judgement_row",
    "open_source",
    "parse_field_map",
    "read_source",
    "read_transcripts",
    "survey",
    "trial_row",
    "whole_file",
    "write_inspect",
    "write_table",
]
