"""DUAL-GLOW: two invertible networks and a relation network between their latent codes (Sun et al., ICCV 2019)."""

from collections.abc import Iterable, Sequence
from itertools import chain
from math import log, pi

import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError, InputError
from dualglow.flow.glow import Glow
from dualglow.models.interface import COVARIATES, Batch, Synthesiser

NOISE = 1 / 256
"""Width of the uniform noise that dequantises an image in [0, 1] with 256 grey values (Kingma & Dhariwal 2018, §2)."""

FIRST_PAIRS = 4
"""ActNorm is set from at least so many training pairs, if there are as many."""


class Relation(nn.Module):
    """One level of the relation network: from the MRI latent to mean and log-sd of the PET latent (eq. 6).

    Shapes: the latents of both networks are (B, channels, X, Y, Z); so are mean and log-sd.
    It starts at 0, that is, with the standard normal prior of Glow.
    With `spatial` a learned mean and log-sd per voxel are added: a convolution cannot tell one place from another
    except by the padding at the border, but the model grid is MNI space, where anatomy keeps its place. With a dozen
    subjects there is not enough data to learn positions from borders.
    """

    def __init__(self, latent_shape: Sequence[int], kernel: int, spatial: bool) -> None:
        super().__init__()
        channels, *sizes = latent_shape
        self.convolution = nn.Conv3d(channels, 2 * channels, kernel, padding=kernel // 2)
        nn.init.zeros_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)
        self.spatial = nn.Parameter(torch.zeros(2 * channels, *sizes)) if spatial else None
        self.slope = nn.Parameter(torch.zeros(channels, *sizes)) if spatial else None

    def forward(self, mri_latent: Tensor) -> tuple[Tensor, Tensor]:
        parameters = self.convolution(mri_latent)
        if self.spatial is not None:
            parameters = parameters + self.spatial
        mean, log_sd = parameters.chunk(2, dim=1)
        if self.slope is not None: mean = mean + self.slope * mri_latent
        return mean, log_sd

    def fit(self, m):
        import os
        R=float(os.environ.get("RIDGE","0")); SH=float(os.environ.get("SHRINK","1")); SL=float(os.environ.get("SLOPE","0"))
        C=m.pet.shape[0]
        mmri, mpet = m.mri/m.n, m.pet/m.n
        var = m.pet2/m.n - mpet**2; vm=m.mri2/m.n-mmri**2; cv=m.mp/m.n-mmri*mpet
        if SL>0:
            r=SL*vm.mean((1,2,3),keepdim=True)
            # shrink towards pooled channel slope
            pool=cv.mean((1,2,3),keepdim=True)/vm.mean((1,2,3),keepdim=True)*float(os.environ.get("POOL","1"))
            sl=(cv+r*pool)/(vm+r)
            self.slope.copy_(sl)
            var2=(var-2*sl*cv+sl**2*vm).clamp(min=0)
            print("expl slope",1-(var2.sum()/var.sum()).item())
            var=var2
            self.spatial[:C]=mpet-sl*mmri
        if R>0:
            pm = patches(mmri[None], m.k); cm = mpet.flatten(1)
            G = m.gram - m.n*(pm@pm.T); X = m.cross - m.n*(pm@cm.T)
            G = G + R*G.diagonal().mean()*torch.eye(len(G))
            W = torch.linalg.solve(G, X).T  # C, P
            k=self.convolution.kernel_size[0]
            if m.k==1 and k>1:
                w=torch.zeros(C,C,k,k,k); w[:,:,k//2,k//2,k//2]=W
            else: w=W.reshape(C,C,k,k,k)
            self.convolution.weight[:C]=w
            pred=nn.functional.conv3d(mmri[None],w,padding=k//2)[0]
            self.spatial[:C]=mpet-pred
        elif SL==0:
            self.spatial[:C]=mpet
        var=(m.n*var+SH*var.mean((1,2,3),keepdim=True))/(m.n+SH)
        self.spatial[C:]=0.5*var.log()


def patches(z, k):
    if k==1: return z.transpose(0,1).flatten(1)
    z=nn.functional.pad(z,[k//2]*6)
    u=z.unfold(2,k,1).unfold(3,k,1).unfold(4,k,1) # B C X Y Z k k k
    return u.permute(1,5,6,7,0,2,3,4).flatten(4).flatten(0,3)


class LatentMoments:
    def __init__(self): self.n=0; self.mri=self.pet=self.pet2=self.gram=self.cross=self.mri2=self.mp=0
    def add(self, mri, pet, k):
        self.n+=len(mri); self.mri=self.mri+mri.sum(0); self.pet=self.pet+pet.sum(0); self.pet2=self.pet2+pet.square().sum(0)
        self.mri2=self.mri2+mri.square().sum(0); self.mp=self.mp+(mri*pet).sum(0)
        self.k=k if mri.shape[1]*k**3<=4096 else 1
        x=patches(mri,self.k)
        self.gram=self.gram+x@x.T; self.cross=self.cross+x@pet.transpose(0,1).flatten(1).T


class DualGlow(Synthesiser):
    """p(PET | MRI) and p(MRI), each as a flow, tied by the relation network.

    Options, with the paper's values as defaults: `levels`, `steps` per level and `hidden` channels of each network
    (§4.1), `relation_kernel` (voxels, odd), `prior_weight` λ of p(MRI) (eq. 12). Beyond the paper: `covariates` adds a
    linear function of age and sex to the mean of the top PET latent; `spatial_prior` gives each latent voxel a mean and
    sd of its own, see Relation; `checkpoint` computes activations again in the backward pass to save memory.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        levels: int = 4,
        steps: int = 16,
        hidden: int = 512,
        relation_kernel: int = 3,
        prior_weight: float = 0.001,
        covariates: bool = False,
        spatial_prior: bool = False,
        checkpoint: bool = False,
    ) -> None:
        if relation_kernel < 1 or relation_kernel % 2 == 0:
            raise ConfigError(f"dualglow: relation_kernel is {relation_kernel}; it must be an odd number of voxels.")
        if prior_weight < 0:
            raise ConfigError(f"dualglow: prior_weight is {prior_weight}; it must not be negative.")
        super().__init__()
        self.prior_weight = prior_weight
        self.spatial_prior = spatial_prior
        self.mri_flow = Glow(1, shape, levels, steps, hidden, checkpoint)
        self.pet_flow = Glow(1, shape, levels, steps, hidden, checkpoint)
        import os
        if os.environ.get("ALIGN","1")=="1": self.pet_flow.load_state_dict(self.mri_flow.state_dict())
        shapes = self.pet_flow.latent_shapes
        self.relations = nn.ModuleList(Relation(latent, relation_kernel, spatial_prior) for latent in shapes)
        self.covariate_mean = nn.Linear(COVARIATES, shapes[-1][0], bias=False) if covariates else None
        if self.covariate_mean is not None:
            nn.init.zeros_(self.covariate_mean.weight)

    @torch.no_grad()
    def initialise(self, batches: Iterable[Batch]) -> None:
        """Set every ActNorm from the first pairs; with `spatial_prior`, then set the prior from all of them."""
        remaining = iter(batches)
        first: list[Batch] = []
        while sum(len(batch.mri) for batch in first) < FIRST_PAIRS and (batch := next(remaining, None)) is not None:
            first.append(batch)
        if not first:
            raise InputError("the training part of this fold has no pairs: check the column `part` of folds.tsv.")
        self.mri_flow.initialise(self._dequantised(torch.cat([batch.mri for batch in first])))
        self.pet_flow.initialise(self._dequantised(torch.cat([batch.pet for batch in first])))
        if self.spatial_prior:
            self._fit_spatial_prior(chain(first, remaining))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Bits per voxel of PET given MRI plus λ times those of MRI (eq. 12), means over the batch."""
        mri_latents, mri_ladj = self.mri_flow(self._dequantised(batch.mri))
        pet_latents, pet_ladj = self.pet_flow(self._dequantised(batch.pet))
        mri_log = mri_ladj + sum(_log_normal(z, torch.zeros_like(z), torch.zeros_like(z)) for z in mri_latents)
        priors = self._priors(mri_latents, batch.covariates)
        pet_log = pet_ladj + sum(_log_normal(z, *prior) for z, prior in zip(pet_latents, priors, strict=True))
        mri_bits, pet_bits = (_bits_per_voxel(value, batch.mri[0].numel()) for value in (mri_log, pet_log))
        loss = pet_bits + self.prior_weight * mri_bits
        return loss, {"pet_bits": pet_bits.detach(), "mri_bits": mri_bits.detach()}

    @torch.no_grad()
    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        """Decode the conditional means of the PET latents (the paper's synthesis, temperature 0)."""
        return self._decode([mean for mean, _ in self._conditionals(mri, covariates)], mask)

    @torch.no_grad()
    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        latents = []
        for mean, log_sd in self._conditionals(mri, covariates):
            noise = torch.randn(mean.shape, generator=generator, device=generator.device, dtype=mean.dtype)
            latents.append(mean + temperature * log_sd.exp() * noise.to(mean.device))
        return self._decode(latents, mask)

    def _conditionals(self, mri: Tensor, covariates: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and log-sd of every PET latent given the MRI, taken at the middle of its grey values."""
        latents, _ = self.mri_flow(_centred(mri))
        return self._priors(latents, covariates)

    def _priors(self, mri_latents: list[Tensor], covariates: Tensor) -> list[tuple[Tensor, Tensor]]:
        priors = [relation(z) for relation, z in zip(self.relations, mri_latents, strict=True)]
        if self.covariate_mean is not None:
            mean, log_sd = priors[-1]
            priors[-1] = mean + self.covariate_mean(covariates)[:, :, None, None, None], log_sd
        return priors

    def _decode(self, latents: list[Tensor], mask: Tensor) -> Tensor:
        return (self.pet_flow.inverse(latents) + 0.5 - NOISE / 2) * mask

    def _dequantised(self, image: Tensor) -> Tensor:
        """Image in [0, 1] to [-0.5, 0.5], spread over its grey value while training.

        Without the noise a constant background would have an infinite density.
        """
        if not self.training:
            return _centred(image)
        return image - 0.5 + NOISE * torch.rand_like(image)

    def _fit_spatial_prior(self, batches: Iterable[Batch]) -> None:
        """Stream the training latents once, then set every level's prior from their moments."""
        moments = [LatentMoments() for _ in self.relations]
        for batch in batches:
            mri_latents, _ = self.mri_flow(self._dequantised(batch.mri))
            pet_latents, _ = self.pet_flow(self._dequantised(batch.pet))
            for level, mri, pet, relation in zip(moments, mri_latents, pet_latents, self.relations, strict=True):
                level.add(mri, pet, relation.convolution.kernel_size[0])
        for level, relation in zip(moments, self.relations, strict=True):
            relation.fit(level)


def _centred(image: Tensor) -> Tensor:
    """Image in [0, 1] to [-0.5, 0.5], at the middle of its grey value: where the training noise has its mean."""
    return image - 0.5 + NOISE / 2


def _log_normal(z: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
    """Log-density (B,) in nats of a diagonal Gaussian."""
    terms = -0.5 * log(2 * pi) - log_sd - 0.5 * ((z - mean) * (-log_sd).exp()).square()
    return terms.flatten(1).sum(1)


def _bits_per_voxel(log_density: Tensor, voxels: int) -> Tensor:
    """Mean bits per voxel of an image with 256 grey values in [0, 1], from its log-density in nats (B,)."""
    return (-log_density / voxels / log(2) - log(NOISE) / log(2)).mean()
