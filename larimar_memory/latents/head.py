"""The readout head: from latents to keys and values in every layer of the decoder."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from larimar_memory.latents.anatomy import Anatomy
from larimar_memory.latents.config import LatentConfig
from larimar_memory.latents.prefix import States


class ReadoutHead(nn.Module):
    """Makes the keys, un-rotated, and values of `spread` positions from each latent position.

    A linear map, and a network beside it that begins at zero, work in units of the decoder's own keys
    and values: mean 0 and deviation 1 in every layer, head and channel. The means and deviations are
    part of the weights.

    Args:
        config: the codec's sizes.
        anatomy: anatomy of the decoder whose keys and values are made.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: LatentConfig, anatomy: Anatomy) -> None:
        super().__init__()
        self.spread, self.width = config.spread, config.width
        self.shape = (2, anatomy.layers, anatomy.heads, anatomy.channels)
        self.enter = nn.Linear(config.dz, config.spread * config.width)
        self.inner = nn.Linear(config.width, config.width)
        numbers = 2 * anatomy.layers * anatomy.heads * anatomy.channels
        self.leave = nn.Linear(config.width, numbers)
        self.linear = nn.Linear(config.dz, config.spread * numbers, bias=False)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("mean", torch.zeros(self.shape))
        self.register_buffer("deviation", torch.ones(self.shape))
        self._both = list[tuple[Tensor, Tensor]]()

    def for_reading(self, dtype: torch.dtype) -> None:
        """Compute in a number format from now on, with weights that no longer change.

        What `states` multiplies by is made ready: the linear map and the network's last layer become
        one matrix, of which means and deviations are a part.
        """
        for module in (self.enter, self.inner, self.leave, self.linear):
            module.to(dtype)
        deviation = self.deviation.flatten()[:, None]
        last = self.leave.weight.float() * deviation
        shift = self.leave.bias.float() * deviation[:, 0] + self.mean.flatten()
        self._both = [
            (torch.cat([part.float() * deviation, last], dim=1).to(dtype).T, shift.to(dtype))
            for part in self.linear.weight.chunk(self.spread)
        ]

    def states(self, z: Float[Tensor, "m dz"]) -> States:
        """Keys and values of a row of m latent positions, none of them a gap."""
        m, inputs = len(z), z.to(self.linear.weight.dtype)
        if self._both:
            x = self._network(inputs[None])[0].unflatten(0, (m, self.spread))
            made = [
                torch.addmm(shift, torch.cat([inputs, x[:, n]], dim=1), weights)
                for n, (weights, shift) in enumerate(self._both)
            ]
            there = made[0] if self.spread == 1 else torch.stack(made, dim=1)
            there = there.reshape(m * self.spread, *self.shape)
        else:
            there = torch.addcmul(self.mean, self.unit(inputs[None])[0].float(), self.deviation)
        keys, values = there.permute(1, 2, 3, 0, 4)[:, :, None]
        return States(keys, values, torch.ones(1, len(there), dtype=torch.bool, device=z.device))

    def forward(self, z: Float[Tensor, "b m dz"], mask: Bool[Tensor, "b m"]) -> States:
        """Keys and values of m * spread positions, float32; zeros for positions that are padding."""
        # Segments of a batch differ in length, and the network need not run on their padding.
        there = self.unit(z[mask][None])[0] * self.deviation + self.mean
        mask = mask.repeat_interleave(self.spread, dim=1)
        states = there.new_zeros(*mask.shape, *self.shape).masked_scatter(
            mask[..., None, None, None, None], there
        )
        # (b p 2 l g c) -> keys and values (l b g p c), the layout of a decoder's cache.
        keys, values = states.permute(2, 3, 0, 4, 1, 5)
        return States(keys, values, mask)

    def unit(self, z: Float[Tensor, "b m dz"]) -> Float[Tensor, "b p two l g c"]:
        """Keys and values in units of their deviation from their mean."""
        b, m, _ = z.shape
        z = z.to(self.linear.weight.dtype)
        linear = self.linear(z).reshape(b, m * self.spread, -1)
        out: Tensor = linear + self.leave(self._network(z))
        return out.reshape(b, m * self.spread, *self.shape)

    def _network(self, z: Float[Tensor, "b m dz"]) -> Float[Tensor, "b p w"]:
        """The network up to its last layer."""
        x = nn.functional.gelu(self.enter(z).reshape(len(z), -1, self.width))
        return nn.functional.gelu(self.inner(x))
