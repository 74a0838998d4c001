"""Load a framework and read what it gates."""

from safecase.declare import load_framework, risk_map

framework = load_framework("scaling-v2")
print(f"{framework.title}: {len(framework.gates)} gates, {len(framework.contexts)} contexts")
for row in risk_map(framework)[:3]:
    print(*row.lines(), sep="\n")
