"""Phase *outside*: a linear classifier of query embeddings, by which *generate* notices images that are no scenes.

It is fitted on drawn scenes and on a folder of other images: photographs, screenshots, documents, drawings, noise. The
distance to scenes alone does less well: what the Q-Former makes of a photograph lies among them in most directions.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.data.artists import listed_artists
from training.data.image_effects import backgrounds, finish
from training.data.image_processor import IMAGE_SIDE, normalize, resize
from training.data.scene_arrays import to_arrays
from training.data.scenes import Scene, draw_scene
from training.data.sprite_pack import read_pack
from training.data.sprite_pool import PlainPool
from training.data.torch_render import compose, flat_background, to_bytes
from training.export.checkpoints import OUTSIDE_TRAINING, load, weights_digest
from training.machine import Machine
from training.paths import CHECKPOINTS

DECAY = 0.01  # of the weights, in whitened coordinates
SHRINKAGE = 0.003  # of the covariance towards that of noise of the same size
TAIL = 0.005  # of scenes, and of other images, that may lie on the wrong side of the threshold's two bounds
STEPS = 25  # of Newton's method
IMAGES = (".jpg", ".jpeg", ".png", ".webp")
BATCH = 64


def _scenes(artist: str, concepts: set[int], count: int) -> list[Scene]:
    """Scenes of what the artist drew, compositions that training draws."""
    rng = random.Random(f"outside:{artist}")
    found: list[Scene] = []
    while len(found) < count:
        scene = draw_scene(rng, None if len(concepts) > 40 else "single", artist)
        if {i.concept for i in scene.items} <= concepts:
            found.append(scene)
    return found


@torch.no_grad()
def draw_images(machine: Machine, count: int) -> Tensor:
    """Images uint8 [N, 112, 112, 3] by every artist of the training, `count` each: half as drawn, half finished.

    No augmented sprites: what a scene looks like is to be known, not all that training showed.
    """
    torch.manual_seed(0)
    sprites = read_pack()
    pool, images = PlainPool(sprites, machine.device), []
    for artist in (a["artist"] for a in listed_artists() if a["role"] == "training"):
        index = sprites.of(artist)
        scenes = _scenes(artist, set(index), count)
        arrays = to_arrays(scenes).to(machine.device)
        width = arrays.concept.shape[1]
        slots = [[index[i.concept] for i in s.items] for s in scenes]
        rows = torch.tensor([s + [0] * (width - len(s)) for s in slots], device=machine.device)
        plain, _ = compose(flat_background(arrays), arrays, rows, pool)
        behind, _ = compose(backgrounds(arrays, IMAGE_SIDE), arrays, rows, pool)
        images.append(to_bytes(torch.cat([plain[::2], finish(behind[1::2])])))
    return torch.cat(images)


def read_images(folder: Path) -> Tensor:
    """All images of a folder and of those in it, uint8 [N, 112, 112, 3]."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in IMAGES)
    return torch.from_numpy(np.stack([resize(Image.open(f)) for f in files]))


@torch.no_grad()
def pooled_embeddings(model: torch.nn.Module, images: Tensor, machine: Machine) -> np.ndarray:
    """The mean over the queries of each image's query embeddings, float64 [N, 192]."""
    out = []
    for batch in images.split(BATCH):
        features = model.vision_model(pixel_values=normalize(batch.to(machine.device))).last_hidden_state
        queries = model.query_tokens.expand(len(batch), -1, -1)
        hidden = model.qformer(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
        out.append(hidden.mean(1).double().cpu().numpy())
    return np.concatenate(out)


def _whitening(embeddings: np.ndarray) -> np.ndarray:
    """[192, 192]: makes of differences of embeddings components that are independent, of variance 1."""
    covariance = np.cov(embeddings.T)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return np.linalg.cholesky(np.linalg.inv(covariance))


def _log_odds(components: np.ndarray, is_other: np.ndarray) -> np.ndarray:
    """Logistic regression, both kinds weighing the same: weights of [N, D] components."""
    share = np.where(is_other, 0.5 / is_other.sum(), 0.5 / (~is_other).sum())
    inputs = np.c_[components, np.ones(len(components))]
    decay = DECAY * np.r_[np.ones(components.shape[1]), 1e-6]
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        odds = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (share * (odds - is_other)) + decay * weights
        curvature = (inputs * (share * odds * (1 - odds))[:, None]).T @ inputs + np.diag(decay)
        weights -= np.linalg.solve(curvature, slope)
    return weights[:-1]


def classifier_of(scenes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights [192] and threshold: the weighted sum of another image's pooled embeddings is above it.

    The threshold lies in the middle between nearly all scenes and nearly all other images.
    """
    mean, whitening = scenes.mean(0), _whitening(scenes)
    components = np.concatenate([scenes - mean, others - mean]) @ whitening
    weights = whitening @ _log_odds(components, np.arange(len(components)) >= len(scenes))
    bounds = np.quantile(scenes @ weights, 1 - TAIL), np.quantile(others @ weights, TAIL)
    return weights, float(np.mean(bounds))


def save(weights: np.ndarray, threshold: float, folder: Path) -> None:
    """Writes the classifier beside the weights of the model."""
    members = {
        "weights_sha256": weights_digest(folder),
        "threshold": round(threshold, 4),
        "weights": [round(w, 4) for w in weights.tolist()],
    }
    (folder / OUTSIDE_TRAINING).write_text(json.dumps(members) + "\n")


def write(machine: Machine, count: int, others: Path) -> None:
    """Fits the classifier of the exported *generate*: `count` scenes by each artist, and the images of a folder."""
    model = load("generate").to(machine.device).eval()
    scenes = pooled_embeddings(model, draw_images(machine, count), machine)
    other = pooled_embeddings(model, read_images(others), machine)
    weights, threshold = classifier_of(scenes, other)
    save(weights, threshold, CHECKPOINTS / "generate")
    seen = [(x @ weights > threshold).mean() for x in (scenes, other)]
    print(f"{len(scenes)} scenes, {seen[0]:.2%} of them outside; {len(other)} other images, {seen[1]:.2%}")
