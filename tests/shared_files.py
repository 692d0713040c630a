"""What the tests ``test_files*`` share."""

import numpy as np
from PIL import Image

G = np.random.default_rng(0)

GREY = G.integers(0, 256, (12, 15), dtype=np.uint8)

DEEP = G.integers(0, 2**16, (12, 15, 4), dtype=np.uint16)


def save(path, a, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = a if isinstance(a, Image.Image) else Image.fromarray(a)
    picture.save(path, **options)
    return path


# masks


TRUTH = np.zeros((12, 15), np.uint8)

TRUTH[2:4, 3:6] = 1


def a_set(root, a, mask, count=3):
    for i in range(count):
        save(root / "images" / f"f{i}.png", a)
        save(root / "masks" / f"f{i}.png", mask)
    return root
