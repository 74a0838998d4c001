"""Pictures made up on the spot: no file is shipped, none is copied."""

import numpy as np
import numpy.typing as npt


def picture(seed: int, *, width: int = 640, height: int = 480) -> npt.NDArray[np.uint8]:
    """Make a picture: noise that falls with frequency as in photographs, shapes with sharp edges, a flat sky.

    Returns:
        RGB, (height, width, 3).
    """
    random = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    distance = np.hypot(down, across)
    distance[0, 0] = 1.0
    fall = random.uniform(0.9, 1.6)
    size = (height, width)
    bands = [np.fft.irfft2(np.fft.rfft2(random.normal(size=size)) / distance**fall, size) for _ in range(4)]
    shared, *own = ((band - band.mean()) / band.std() for band in bands)
    ground = np.stack([0.75 * shared + 0.25 * band for band in own], axis=-1)
    made = random.uniform(70, 180) + random.uniform(20, 55) * ground
    rows, columns = np.mgrid[0:height, 0:width]
    made[rows < height * random.uniform(0.0, 0.4)] = random.uniform(150, 255, 3)
    for _ in range(int(random.integers(3, 12))):
        row, column = random.uniform(0, height), random.uniform(0, width)
        tall, wide = random.uniform(0.04, 0.3, 2) * min(height, width)
        is_round = random.random() < 0.5
        far = ((rows - row) / tall) ** 2 + ((columns - column) / wide) ** 2
        inside = far < 1 if is_round else (np.abs(rows - row) < tall) & (np.abs(columns - column) < wide)
        made[inside] = random.uniform(0, 255, 3) + (columns[inside] - column)[:, None] * random.uniform(-0.3, 0.3)
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)
