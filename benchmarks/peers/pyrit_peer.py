"""PyRIT: a prompt-sending attack over as many objectives, memory in this process."""

import asyncio
import sys


async def main(url: str, prompts: int, in_flight: int) -> None:
    """Send, keep, forget."""
    from pyrit.executor.attack import AttackExecutor, PromptSendingAttack
    from pyrit.prompt_target import OpenAIChatTarget
    from pyrit.setup import IN_MEMORY, initialize_pyrit_async

    await initialize_pyrit_async(memory_db_type=IN_MEMORY)
    target = OpenAIChatTarget(endpoint=url, api_key="stub", model_name="stub", max_completion_tokens=64)
    executor = AttackExecutor(max_concurrency=in_flight)
    await executor.execute_attack_async(
        attack=PromptSendingAttack(objective_target=target),
        objectives=[f"Tell me about case {n} in a few words." for n in range(prompts)],
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
