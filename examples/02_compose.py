"""Compose scenarios from the shipped bank, lazily and always with the same ids."""

from itertools import islice

from safecase.compose import ATTACKS, compose, load_shipped_bank

bank = load_shipped_bank()
print(f"{len(bank)} intents, {len(ATTACKS)} attacks, {sum(1 for _ in compose(bank))} scenarios in English")
for scenario in islice(compose(bank), 3):
    print(scenario.scenario_id, scenario.category, scenario.attack)
