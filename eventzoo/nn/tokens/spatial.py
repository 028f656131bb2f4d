"""What a token knows of where its event is, and of its polarity."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.batch import TokenBatch

Cells = Literal["equal", "rounded"]
"""Which of w cells has column x of W: ⌊x w / W⌋ (`equal`), or x w / W rounded, half to even, and w - 1 at most (`rounded`)."""


class SpatialEmbedding(nn.Module, ABC):
    """Base of embeddings of pixel and polarity, of which there are finitely many.

    Where a batch has more tokens than there are places (pixels × polarities), each place is embedded once: the result is the same.

    Args:
        sensor_size: `(width, height)` in pixels.
        dim: Features of a token.

    Shapes:
        input: A `TokenBatch` of N events.
        output: float32 `[N, dim]`.
    """

    def __init__(self, sensor_size: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.sensor_size, self.dim = (int(sensor_size[0]), int(sensor_size[1])), dim

    @abstractmethod
    def embed(self, x: Tensor, y: Tensor, p: Tensor) -> Tensor:
        """`[N, dim]` of columns, rows and polarities (1 for brighter), int64 `[N]` each."""

    def table(self) -> Tensor:
        """The embeddings of all places, `[2 * height * width, dim]`: place (p · height + y) · width + x."""
        width, height = self.sensor_size
        place = torch.arange(2 * height * width, device=next(self.parameters()).device)
        return self.embed(place % width, place // width % height, place // (width * height))

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed."""
        width, height = self.sensor_size
        x, y, p = batch.x.long(), batch.y.long(), batch.p.long()
        if len(x) > 2 * height * width:
            return nn.functional.embedding((p * height + y) * width + x, self.table())
        return self.embed(x, y, p)


class ParametricEmbedding(SpatialEmbedding):
    """Coordinates and polarity, each mapped to [-1, 1], through three linear layers.

    φ(x, y, p) = LN(W₃ ReLU(LN(W₂ ReLU(LN(W₁ (x̄, ȳ, p̄)))))), of d/4, d/2 and d features. Near pixels begin near to each other.

    Source: Fang et al., "Event2Vec: Processing Neuromorphic Events Directly by Representations in Vector Space", 2025, arXiv:2504.15371.

    Args:
        sensor_size: `(width, height)` in pixels, both above 1.
        dim: Features of a token, divisible by four.
    """

    def __init__(self, sensor_size: tuple[int, int], dim: int) -> None:
        super().__init__(sensor_size, dim)
        if dim % 4 or min(sensor_size) < 2:
            raise EventZooError(
                f"a parametric embedding needs a dim divisible by 4 and a sensor of 2×2 at least, not {dim} and {sensor_size}"
            )
        self.layers = nn.Sequential(
            nn.Linear(3, dim // 4, bias=False),
            nn.LayerNorm(dim // 4),
            nn.ReLU(),
            nn.Linear(dim // 4, dim // 2, bias=False),
            nn.LayerNorm(dim // 2),
            nn.ReLU(),
            nn.Linear(dim // 2, dim, bias=False),
            nn.LayerNorm(dim),
        )

    def embed(self, x: Tensor, y: Tensor, p: Tensor) -> Tensor:
        """Embed."""
        width, height = self.sensor_size
        scale = torch.tensor([2 / (width - 1), 2 / (height - 1), 2], device=x.device)
        return self.layers(torch.stack([x, y, p], 1) * scale - 1)  # type: ignore[no-any-return]


class TableEmbedding(SpatialEmbedding):
    """Rows of learnt tables, by the cell of a grid over the sensor in which a pixel lies.

    There is one table of all cells and polarities or, if separate, one of the grid's rows and one of its columns (each for either
    polarity), whose features are concatenated.

    Where cells have neighbours, a token is the sum of what the tables hold for its own and for them, each times a weight that is learnt
    and begins as exp(-k² / 2) for the k-th neighbour. Of separate tables, neighbours are rows or columns; of one table, cells in a square.
    Beyond the border, cells at the border count again.

    Source: Fang et al., "Event2Vec: Processing Neuromorphic Events Directly by Representations in Vector Space", 2025, arXiv:2504.15371,
    in its first version. There, each table had one more row, for padding, and the square neighbourhood took cells from elsewhere.

    Args:
        sensor_size: `(width, height)` in pixels.
        dim: Features of a token; the share of the rows among them is height / (height + width), rounded down.
        separate: Whether rows and columns have a table each.
        grid: `(width, height)` in cells, at most the sensor's pixels; None for these.
        neighbours: How many neighbours count to either side.
        dilation: Cells from one neighbour to the next.
        cells: Which cell a pixel lies in. The published weights belong to `rounded` ones, which are of unequal sizes.

    Raises:
        EventZooError: A setting is out of its range, or the features are too few to be shared out.
    """

    def __init__(
        self,
        sensor_size: tuple[int, int],
        dim: int,
        separate: bool,
        grid: tuple[int, int] | None = None,
        neighbours: int = 0,
        dilation: int = 1,
        cells: Cells = "equal",
    ) -> None:
        super().__init__(sensor_size, dim)
        width, height = self.grid = self.sensor_size if grid is None else (int(grid[0]), int(grid[1]))
        if not all(0 < count <= pixels for count, pixels in zip(self.grid, self.sensor_size, strict=True)):
            raise EventZooError(f"a grid has 1 cell at least and as many as the sensor's pixels at most along each axis, not {self.grid}")
        if neighbours < 0 or dilation < 1:
            raise EventZooError(f"neighbours are at least 0 and their dilation at least 1, not {neighbours} and {dilation}")
        self.separate, self.cells = separate, cells
        steps = torch.arange(-neighbours, neighbours + 1)
        self.register_buffer("offsets", steps * dilation, persistent=False)
        if separate:
            of_rows = height * dim // (height + width)
            if not of_rows:
                raise EventZooError(f"{dim} features are too few for rows and columns of a grid of {width}×{height} cells")
            weights = None if neighbours == 0 else torch.exp(-(steps**2) / 2)
            self.rows, self.columns = _WeightedRows(2 * height, of_rows, weights), _WeightedRows(2 * width, dim - of_rows, weights)
        else:
            squares = (steps[:, None] ** 2 + steps**2).flatten()
            self.places = _WeightedRows(2 * height * width, dim, None if neighbours == 0 else torch.exp(-squares / 2))

    def embed(self, x: Tensor, y: Tensor, p: Tensor) -> Tensor:
        """Embed."""
        width, height = self.grid
        columns, rows, p = self.near(x, 0), self.near(y, 1), p[:, None]
        if self.separate:
            return torch.cat([self.rows(p * height + rows), self.columns(p * width + columns)], 1)
        return self.places(((p * height + rows)[:, :, None] * width + columns[:, None]).flatten(1))  # type: ignore[no-any-return]

    def near(self, pixels: Tensor, axis: int) -> Tensor:
        """Cells at and near columns (axis 0) or rows (axis 1), int64 `[N, 1 + 2 * neighbours]`, of int64 `[N]`."""
        count, of = self.grid[axis], self.sensor_size[axis]
        own = pixels * count // of if self.cells == "equal" else (pixels * count / of).round().long().clamp(max=count - 1)
        offsets: Tensor = self.get_buffer("offsets")
        return (own[:, None] + offsets).clamp(0, count - 1)


class _WeightedRows(nn.Module):
    """Weighted sums of a table's rows: `[N, dim]` of indices, int64 `[N, K]`, with a learnt weight for each of the K, or none."""

    def __init__(self, rows: int, dim: int, weights: Tensor | None) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(rows, dim, mode="sum")
        self.weights = None if weights is None else nn.Parameter(weights.clone())

    def forward(self, index: Tensor) -> Tensor:
        """Look up."""
        weights = None if self.weights is None else self.weights.expand(index.shape)
        return self.table(index, per_sample_weights=weights)  # type: ignore[no-any-return]
