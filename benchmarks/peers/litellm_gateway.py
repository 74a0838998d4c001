"""LiteLLM's proxy with a master key, one worker, no database, nothing logged. `python litellm_gateway.py UPSTREAM`"""

import json
import os
import sys
import tempfile
from pathlib import Path

from _serving import quiet, serve

if __name__ == "__main__":
    out, key = quiet(), "sk-benchmark"
    folder = Path(tempfile.mkdtemp())
    config = {
        "model_list": [
            {
                "model_name": "stub",
                "litellm_params": {"model": "openai/stub", "api_base": sys.argv[1], "api_key": "none"},
            }
        ],
        "general_settings": {"master_key": key},
        "litellm_settings": {"num_retries": 0, "telemetry": False, "drop_params": True},
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    os.environ |= {
        "CONFIG_FILE_PATH": str(folder / "config.yaml"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
    }
    from litellm.proxy.proxy_server import app

    serve(app, key, out)
