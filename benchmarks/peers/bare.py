"""A bare aiohttp loop: the floor. `python bare.py URL PROMPTS IN_FLIGHT`"""

import asyncio
import sys

import aiohttp


async def main(url: str, prompts: int, in_flight: int) -> None:
    """Ask, read, forget."""
    todo = iter(range(prompts))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for number in todo:
                body = {
                    "model": "stub",
                    "max_tokens": 64,
                    "messages": [{"role": "user", "content": f"Tell me about case {number} in a few words."}],
                }
                async with session.post(f"{url}/chat/completions", json=body) as response:
                    await response.json()

        await asyncio.gather(*(work() for _ in range(in_flight)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
