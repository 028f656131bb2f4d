"""Events as they are, one token each."""

from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from eventzoo.data.representation import Representation
from eventzoo.events import Events
from eventzoo.nn.backbone import Kind
from eventzoo.nn.tokens.batch import TokenBatch


class TokensOfOne(NamedTuple):
    """The events of one recording.

    Attributes:
        x: Columns, int16 `[N]`.
        y: Rows, int16 `[N]`.
        p: Whether they are brighter, bool `[N]`.
        t: Microseconds since the first of them, int32, or int64 where the recording is too long, `[N]`.
    """

    x: Tensor
    y: Tensor
    p: Tensor
    t: Tensor


class EventTokens(Representation[TokensOfOne]):
    """Each event is a token; what embeds it belongs to the backbone.

    Which events of a long recording are taken is for transforms to say, such as `RandomSubsample`, `EvenSubsample`, `TemporalSubsample` or
    `LIFSubsample`. Recordings of a batch follow each other without padding, so that no recording can depend on another, nor on how many
    there are; `eventzoo.nn.tokens.batch.padded` gives tokens of `[B, L]` with a mask where a layer needs them.

    Shapes:
        one recording: `TokensOfOne`; a batch: `eventzoo.nn.tokens.batch.TokenBatch`.
    """

    kind: ClassVar[Kind] = "tokens"
    channels = 4
    """Column, row, polarity and time."""

    def __call__(self, events: Events) -> TokensOfOne:
        """The tokens of one recording."""
        t = events.t - events.t[:1]
        t = t.astype(np.int32 if not len(t) or t[-1] < 1 << 31 else np.int64)
        return TokensOfOne(*(torch.from_numpy(column) for column in (events.x.copy(), events.y.copy(), events.p.copy(), t)))

    def to_tensors(self, value: TokensOfOne) -> dict[str, Tensor]:
        """The columns by name."""
        return value._asdict()

    def from_tensors(self, tensors: dict[str, Tensor]) -> TokensOfOne:
        """The tokens of these columns."""
        return TokensOfOne(**tensors)

    def collate(self, samples: list[TokensOfOne]) -> TokenBatch:
        """The tokens of all recordings, one recording after the other."""
        x, y, p, t = (torch.cat(columns) for columns in zip(*samples, strict=True))
        lengths = torch.tensor([0, *(len(sample.t) for sample in samples)])
        return TokenBatch(x, y, p, t.long(), lengths.cumsum(0))
