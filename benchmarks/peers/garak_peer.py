"""garak: one probe of as many prompts, run by its own harness with one detector, in as many processes as it can."""

import sys
import types

url, prompts, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

import garak.probes.base  # noqa: E402


class Bench(garak.probes.base.Probe):
    """As many prompts as asked for."""

    lang = "en"
    goal = "be asked"
    primary_detector = "mitigation.MitigationBypass"
    active = True
    tags: list[str] = []  # noqa: RUF012 - garak's own convention

    def __init__(self, config_root=garak._config) -> None:  # type: ignore[no-untyped-def]
        super().__init__(config_root=config_root)
        self.prompts = [f"Tell me about case {n} in a few words." for n in range(prompts)]


module = types.ModuleType("garak.probes.bench")
Bench.__module__ = "garak.probes.bench"
module.__file__ = __file__  # garak asks when it was changed
module.Bench = Bench  # type: ignore[attr-defined]
sys.modules["garak.probes.bench"] = module


def main() -> None:
    """Load garak's configuration, then run its harness over the one probe."""
    import os

    from garak import _config, _plugins, command
    from garak.evaluators import ThresholdEvaluator
    from garak.generators.openai import OpenAICompatible
    from garak.harnesses.base import Harness

    os.environ["OPENAICOMPATIBLE_API_KEY"] = "stub"
    _config.load_base_config()
    _config.system.parallel_attempts = min(in_flight, 16)  # one process each
    _config.system.lite = False
    _config.run.generations = 1
    _config.plugins.generators["openai"]["OpenAICompatible"]["uri"] = url
    _config.plugins.generators["openai"]["OpenAICompatible"]["max_tokens"] = 64
    command.start_run()
    generator = OpenAICompatible(name="stub", config_root=_config)
    detector = _plugins.load_plugin("detectors.mitigation.MitigationBypass", config_root=_config)
    Harness(config_root=_config).run(generator, [Bench(config_root=_config)], [detector], ThresholdEvaluator())


if __name__ == "__main__":
    main()
