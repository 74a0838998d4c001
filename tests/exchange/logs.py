"""Other tools' files as those tools write them, small and made up."""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa


def inspect_sample(number: int, *, epoch: int = 1, answer: str | None = "An answer.", **more: Any) -> dict[str, Any]:
    """A sample as Inspect 0.3 writes it."""
    said = [{"role": "assistant", "content": answer, "source": "generate"}] if answer is not None else []
    return {
        "id": number,
        "epoch": epoch,
        "input": f"request {number}",
        "target": "",
        "messages": [{"role": "user", "content": f"request {number}", "source": "input"}, *said],
        "output": {
            "model": "m-2026-01-01",
            "choices": [{"message": message, "stop_reason": "stop"} for message in said],
            "completion": answer or "",
            "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
            "time": 0.25,
        },
        "scores": {"includes": {"value": "C", "answer": answer, "history": []}},
        "metadata": {"category": "violence", "harmful": True, "intent_id": f"i{number}"},
        "attachments": {},
        **more,
    }


def inspect_header(status: str = "success") -> dict[str, Any]:
    """What a log says of itself."""
    about = {
        "task": "harm",
        "model": "openai/m",
        "created": "2026-11-21T00:00:00+00:00",
        "dataset": {"samples": 2},
        "config": {"epochs": 1},
        "packages": {"inspect_ai": "0.3.285"},
    }
    return {"version": 2, "status": status, "eval": about, "plan": {}, "stats": {}}


def write_eval(path: Path, *samples: dict[str, Any], header: dict[str, Any] | None = None, zstd: bool = False) -> Path:
    """A log in the zip format, deflated as older versions do or zstd-compressed as newer ones do."""
    members = {f"samples/{row['id']}_epoch_{row['epoch']}.json": row for row in samples}
    members |= {"header.json": inspect_header() if header is None else header}
    if zstd:
        path.write_bytes(zstd_zip({name: json.dumps(value).encode() for name, value in members.items()}))
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as log:
        for name, value in members.items():
            log.writestr(name, json.dumps(value))
    return path


def zstd_zip(members: dict[str, bytes]) -> bytes:
    """A zip with members compressed by method 93."""
    out, directory = b"", b""
    for name, data in members.items():
        packed, encoded = pa.compress(data, codec="zstd", asbytes=True), name.encode()
        common = struct.pack("<HHHHHIIIHH", 20, 0, 93, 0, 33, zlib.crc32(data), len(packed), len(data), len(encoded), 0)
        directory += b"PK\x01\x02\x14\x00" + common + struct.pack("<HHHII", 0, 0, 0, 0, len(out)) + encoded
        out += b"PK\x03\x04" + common + encoded + packed
    count = len(members)
    return out + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(out), 0)


def write_json_log(path: Path, *samples: dict[str, Any]) -> Path:
    """The same in Inspect's JSON format, with the NaN that its scores may hold."""
    path.write_text(json.dumps({**inspect_header(), "samples": list(samples), "reductions": []}, indent=2))
    return path


def garak_attempt(
    uuid: str = "u1", *, status: int = 2, outputs: Any = None, hits: Any = (0.0, 1.0), request: str = "a request"
) -> dict[str, Any]:
    """An attempt as garak 0.10 and later write it."""
    given = ["no, sorry", "of course"] if outputs is None else outputs
    return {
        "entry_type": "attempt",
        "uuid": uuid,
        "seq": 0,
        "status": status,
        "probe_classname": "dan.Ablation",
        "probe_params": {},
        "targets": [],
        "prompt": {"turns": [{"role": "user", "content": {"text": request, "lang": "en"}}], "notes": {}},
        "outputs": [None if text is None else {"text": text, "lang": "en"} for text in given],
        "detector_results": {"mitigation.MitigationBypass": list(hits)} if status == 2 else {},
        "notes": {"category": "violence"},
        "goal": "make it misbehave",
    }


def garak_report(*attempts: dict[str, Any]) -> list[dict[str, Any]]:
    """A report around attempts."""
    setup = {"entry_type": "start_run setup", "plugins.target_type": "openai", "plugins.target_name": "m"}
    init = {"entry_type": "init", "garak_version": "0.17.1", "start_time": "2026-11-21T00:00:00", "run": "r"}
    done = {"entry_type": "eval", "probe": "dan.Ablation", "detector": "mitigation.MitigationBypass", "passed": 1}
    return [setup, init, *attempts, done, {"entry_type": "digest", "meta": {}}]


def promptfoo_result(test: int = 0, *, provider: str = "openai:m", **more: Any) -> dict[str, Any]:
    """A result as promptfoo's third format writes it."""
    return {
        "id": f"{test}-{provider}",
        "promptIdx": 0,
        "promptId": "p1",
        "testIdx": test,
        "provider": {"id": provider, "label": ""},
        "prompt": {"raw": f"request {test}", "label": "x"},
        "vars": {"q": f"request {test}"},
        "response": {"output": "an answer", "tokenUsage": {"total": 8, "prompt": 3, "completion": 5}, "cached": False},
        "success": False,
        "failureReason": 1,
        "score": 0,
        "error": "the grader says: an answer",
        "latencyMs": 250,
        "gradingResult": {
            "pass": False,
            "score": 0,
            "reason": "it complied",
            "componentResults": [{"pass": False, "score": 0, "assertion": {"type": "llm-rubric"}}],
        },
        "namedScores": {},
        "testCase": {"vars": {}, "metadata": {"pluginId": "harmful:hate", "strategyId": "jailbreak"}},
        "metadata": {},
        **more,
    }


def promptfoo_file(*results: dict[str, Any]) -> dict[str, Any]:
    """A results file around results."""
    inner = {"version": 3, "timestamp": "2026-11-21", "prompts": [], "results": list(results), "stats": {}}
    return {"evalId": "eval-1", "results": inner, "config": {}, "metadata": {"promptfooVersion": "0.119.0"}}


def lm_eval_generated(doc: int = 0, *, filter_name: str = "strict-match", score: float = 1.0) -> dict[str, Any]:
    """A generated sample as lm-evaluation-harness 0.4 logs it."""
    return {
        "doc_id": doc,
        "doc": {"question": f"question {doc}"},
        "target": "4",
        "arguments": {"gen_args_0": {"arg_0": f"question {doc}", "arg_1": {"until": ["\n"]}}},
        "resps": [["the answer is 4"]],
        "filtered_resps": ["4"],
        "filter": filter_name,
        "metrics": ["exact_match"],
        "doc_hash": "a",
        "exact_match": score,
    }


def lm_eval_choice(doc: int = 0) -> dict[str, Any]:
    """A multiple-choice sample: a likelihood for each choice."""
    choices = {f"gen_args_{i}": {"arg_0": "which one?", "arg_1": f" choice {name}"} for i, name in enumerate("AB")}
    return {
        "doc_id": doc,
        "doc": {},
        "target": "1",
        "arguments": choices,
        "resps": [[["-4.5", "False"]], [["-0.5", "True"]]],
        "filtered_resps": [["-4.5", "False"], ["-0.5", "True"]],
        "filter": "none",
        "metrics": ["acc"],
        "acc": 1.0,
    }


def write_lines(path: Path, *rows: object) -> Path:
    """JSONL; a text stands as it is."""
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path
