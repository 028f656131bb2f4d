import pytest
import torch
from torch import nn

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.encoder import DropPath, EncoderLayer
from eventzoo.nn.tokens.softmax_encoder import SoftmaxEncoder


class Doubling(nn.Module):
    """Stands for attention."""

    def forward(self, x, start):
        return 2 * x


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_a_layer_is_its_formula(norm):
    torch.manual_seed(0)
    layer, x = EncoderLayer(6, 9, Doubling(), norm=norm), torch.randn(5, 6)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)

    def normalised(x, module):
        x = x - x.mean(1, keepdim=True) if norm == "layer" else x
        x = x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt() * module.weight
        return x + module.bias if norm == "layer" else x

    between = normalised(3 * x, layer.norm1)
    expected = normalised(between + (between @ layer.widen.weight.T).relu() @ layer.narrow.weight.T, layer.norm2)
    torch.testing.assert_close(layer(x, torch.tensor([0, 5])), expected)


def test_branches_are_left_out_recording_by_recording_in_training_alone():
    torch.manual_seed(0)
    lengths = torch.arange(2000) % 3
    x, start = torch.ones(int(lengths.sum()), 2), nn.functional.pad(lengths.cumsum(0), (1, 0))
    drop = DropPath(0.25)
    recordings = drop(x, start).split(lengths.tolist())
    factors = [recording.unique().tolist() for recording in recordings if len(recording)]
    assert all(factor in ([0], [pytest.approx(4 / 3)]) for factor in factors)
    assert sum(factor == [0] for factor in factors) / len(factors) == pytest.approx(0.25, abs=0.05)
    assert torch.equal(drop.eval()(x, start), x)
    with pytest.raises(EventZooError, match="drop_path is a share of at least 0 and less than 1, not 1"):
        DropPath(1)


def test_softmax_encoder_is_torchs_of_each_recording_with_a_class_token():
    """In training, and in evaluation, where torch has another implementation."""
    torch.manual_seed(0)
    encoder, lengths = SoftmaxEncoder(8, 12, 2, 2), [5, 0, 1, 9]
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    reference = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True), 2, nn.LayerNorm(8))
    reference.load_state_dict({name: value for name, value in encoder.state_dict().items() if name != "class_token"})
    x, start = torch.randn(15, 8), torch.tensor([0, *lengths]).cumsum(0)
    expected = [reference(torch.cat([encoder.class_token[None], tokens])[None])[0, 0] for tokens in x.split(lengths)]
    found, begin = encoder(x, start)
    torch.testing.assert_close(found, torch.stack(expected))
    assert begin.tolist() == [0, 1, 2, 3, 4]
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(x, start)[0], found.detach())
    with pytest.raises(EventZooError, match="3 heads cannot share 8 features equally"):
        SoftmaxEncoder(8, 12, 3, 1)


def test_layers_of_a_softmax_encoder_begin_with_weights_of_their_own():
    encoder = SoftmaxEncoder(8, 12, 2, 2)
    assert not torch.equal(encoder.layers[0].linear1.weight, encoder.layers[1].linear1.weight)
    assert encoder.class_token.count_nonzero() == 0
