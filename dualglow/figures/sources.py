"""The literature that the methods section cites, numbered as it is cited."""

from dataclasses import dataclass, field

SOURCES = {
    "n4": "Tustison NJ et al. N4ITK: improved N3 bias correction. IEEE Trans Med Imaging 29:1310, 2010.",
    "ants": "Avants BB et al. Symmetric diffeomorphic image registration with cross-correlation. Med Image Anal 12:26, "
    "2008.",
    "fast": "Zhang Y et al. Segmentation of brain MR images through a hidden Markov random field model. IEEE Trans Med "
    "Imaging 20:45, 2001.",
    "fsl": "Jenkinson M et al. FSL. NeuroImage 62:782, 2012.",
    "template": "Fonov V et al. Unbiased average age-appropriate atlases for pediatric studies. NeuroImage 54:313, "
    "2011.",
    "nipype": "Gorgolewski K et al. Nipype: a flexible, lightweight and extensible neuroimaging data processing "
    "framework in Python. Front Neuroinform 5:13, 2011.",
    "ssim": "Wang Z et al. Image quality assessment: from error visibility to structural similarity. IEEE Trans Image "
    "Process 13:600, 2004.",
    "msssim": "Wang Z et al. Multiscale structural similarity for image quality assessment. Asilomar Conf Signals Syst "
    "Comput 2:1398, 2003.",
    "resampled": "Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 52:239, 2003.",
    "holm": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 6:65, 1979.",
    "aal": "Tzourio-Mazoyer N et al. Automated anatomical labeling of activations in SPM. NeuroImage 15:273, 2002.",
    "aal2": "Rolls ET et al. Implementation of a new parcellation of the orbitofrontal cortex in the automated "
    "anatomical labeling atlas. NeuroImage 122:1, 2015.",
    "scikit-learn": "Pedregosa F et al. Scikit-learn: machine learning in Python. J Mach Learn Res 12:2825, 2011.",
    "hedges": "Hedges LV. Distribution theory for Glass's estimator of effect size. J Educ Stat 6:107, 1981.",
    "bland": "Bland JM, Altman DG. Statistical methods for assessing agreement between two methods of clinical "
    "measurement. Lancet 327:307, 1986.",
    "meta-roi": "Landau SM et al. Associations between cognitive, functional, and FDG-PET measures of decline in AD "
    "and MCI. Neurobiol Aging 32:1207, 2011.",
    "lin": "Lin LI. A concordance correlation coefficient to evaluate reproducibility. Biometrics 45:255, 1989.",
    "crps": "Ferro CAT. Fair scores for ensemble forecasts. Q J R Meteorol Soc 140:1917, 2014.",
    "pytorch": "Paszke A et al. PyTorch: an imperative style, high-performance deep learning library. NeurIPS, 2019.",
    "snakemake": "Mölder F et al. Sustainable data analysis with Snakemake. F1000Research 10:33, 2021.",
    "glow": "Kingma DP, Dhariwal P. Glow: generative flow with invertible 1×1 convolutions. NeurIPS, 2018.",
    "dualglow": "Sun H et al. DUAL-GLOW: conditional flow-based generative model for modality transfer. ICCV, 2019.",
    "nie": "Nie D et al. Medical image synthesis with deep convolutional adversarial networks. IEEE Trans Biomed Eng "
    "65:2720, 2018.",
    "unet": "Ronneberger O et al. U-Net: convolutional networks for biomedical image segmentation. MICCAI, 2015.",
    "esser": "Esser P et al. A variational U-Net for conditional appearance and shape generation. CVPR, 2018.",
    "isola": "Isola P et al. Image-to-image translation with conditional adversarial networks. CVPR, 2017.",
    "monai": "Cardoso MJ et al. MONAI: an open-source framework for deep learning in healthcare. arXiv:2211.02701, "
    "2022.",
    "adam": "Kingma DP, Ba J. Adam: a method for stochastic optimization. ICLR, 2015.",
}


@dataclass
class Citations:
    """Numbers of the sources in the order in which they are first cited."""

    cited: list[str] = field(default_factory=list)

    def cite(self, *names: str) -> str:
        """`[1, 4]`, or nothing without a name."""
        self.cited += [name for name in dict.fromkeys(names) if name not in self.cited]
        numbers = sorted(self.cited.index(name) + 1 for name in set(names))
        return f"[{', '.join(map(str, numbers))}]" if numbers else ""

    def listed(self) -> list[str]:
        """The sources in the order of their numbers."""
        return [SOURCES[name] for name in self.cited]
