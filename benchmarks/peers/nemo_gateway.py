"""NeMo Guardrails' server with declared words on both sides. `python nemo_gateway.py UPSTREAM iorails|colang`"""

import json
import os
import sys
import tempfile
from pathlib import Path

from _serving import quiet, serve

if __name__ == "__main__":
    out, engine = quiet(), sys.argv[2]
    os.environ |= {"NEMO_GUARDRAILS_IORAILS_ENGINE": str(engine == "iorails"), "OPENAI_API_KEY": "none"}
    os.environ |= {"DO_NOT_TRACK": "1", "NEMO_GUARDRAILS_TELEMETRY": "0", "MAIN_MODEL_ENGINE": "openai"}
    os.environ["MAIN_MODEL_BASE_URL"] = sys.argv[1]
    folder = Path(tempfile.mkdtemp()) / "words"
    folder.mkdir()
    patterns = {"patterns": ["zanziscope", r"quellbarrow\s+paste", r"umbrel\s+seven"], "case_insensitive": True}
    config = {
        "models": [
            {"type": "main", "engine": "openai", "model": "stub", "parameters": {"base_url": sys.argv[1]}},
        ],
        "rails": {
            "input": {"flows": ["regex check input"]},
            "output": {"flows": ["regex check output"], "streaming": {"enabled": True, "chunk_size": 50}},
            "config": {"regex_detection": {"input": patterns, "output": patterns}},
        },
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    from nemoguardrails.server.api import app

    app.rails_config_path = str(folder)
    app.default_config_id = folder.name
    app.disable_chat_ui = True
    serve(app, "none", out)
