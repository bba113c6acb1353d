"""What is known of every data set: terms, authors, origin, size, checksums, and the layouts its files come in."""

from __future__ import annotations

from snnkit.datasets.sets.base import Entry

SETS = "snnkit.datasets.sets"
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LETTERS = tuple("abcdefghiklmnopqrstuvwxy")  # of the alphabet of signs: J and Z move
MNIST_FILES = {
    split: tuple(
        (f"{start}-images{joint}idx3-ubyte{end}", f"{start}-labels{joint}idx1-ubyte{end}")
        for end in (".gz", "")
        for joint in ("-", ".")
    )
    for split, start in (("train", "train"), ("test", "t10k"))
}

EVENTS = {
    "digits": Entry(
        module="snnkit.datasets.digits",
        summary="1 797 handwritten digits, recorded by a simulated event camera making three saccades",
        splits=("train", "test", "all"),
        samples={"train": 1437, "test": 360, "all": 1797},
        classes=10,
        grid=(2, 12, 12),
        built_in=True,
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI (1998)",
        source="https://archive.ics.uci.edu/dataset/80 (comes with scikit-learn)",
        size=0,
        layouts={},
        checksums={},
        notes="train and test share writers; mix_writers=False goes roughly by writer",
    ),
    "nmnist": Entry(
        module="snnkit.datasets.nmnist",
        summary="MNIST digits on a screen, recorded by a real ATIS event camera making three saccades",
        splits=("train", "test"),
        samples={"train": 60_000, "test": 10_000},
        classes=10,
        grid=(2, 34, 34),
        licence="CC BY-SA 4.0",
        citation="Orchard et al., Front. Neurosci. 9:437 (2015), doi:10.3389/fnins.2015.00437",
        source="https://www.garrickorchard.com/datasets/n-mnist",
        layouts={
            "train": (("Train//0",), ("Train.zip",), ("NMNISTsmall.tar.gz",), ("train//0",), ("train.zip",)),
            "test": (("Test//0",), ("Test.zip",), ("NMNISTsmall.tar.gz",), ("test//0",), ("test.zip",)),
        },
        folders=("nmnist", "NMNIST", "N-MNIST", "nmnist_small"),
        checksums={
            "NMNISTsmall.tar.gz": "sha256:ddba716e4d570397b8c22d54876bfdee9b00f3f374406e735269bec3049e3e72",
            "train.zip": "md5:20959b8e626244a1b502305a9e6e2031",
            "test.zip": "md5:69ca8762b2fe404d9b9bad1103e97832",
        },
        tonic="NMNIST",
        notes="NMNISTsmall.tar.gz has 1 000 + 100 of the recordings",
    ),
    "ncaltech101": Entry(
        module=f"{SETS}.recordings",
        summary="Caltech101 pictures on a screen, recorded by an ATIS event camera making three saccades",
        splits=("train", "valid", "test", "all"),
        samples={},
        classes=101,
        grid=(2, 180, 240),
        licence="CC BY 4.0 (as Mendeley Data states)",
        citation="Orchard et al., Front. Neurosci. 9:437 (2015), doi:10.3389/fnins.2015.00437",
        source="https://www.garrickorchard.com/datasets/n-caltech101",
        layouts={"": (("Caltech101//*/image_0001.bin",), ("Caltech101.zip",))},
        folders=(
            "ncaltech101",
            "NCALTECH101",
            "N-Caltech101",
            "N-Caltech101-archive",
            "NCALTECH101/N-Caltech101-archive",
        ),
        checksums={"N-Caltech101-archive.zip": "md5:66201824eabb0239c7ab992480b50ba3"},
        tonic="NCALTECH101",
        notes="no official split: dealt out 80 / 10 / 10 in every class; unpack N-Caltech101-archive.zip for Caltech101.zip",
    ),
    "cifar10dvs": Entry(
        module=f"{SETS}.recordings",
        summary="CIFAR-10 pictures moving on a screen, recorded by a DVS128 event camera",
        splits=("train", "valid", "test", "all"),
        samples={"all": 10_000},
        classes=10,
        grid=(2, 128, 128),
        licence="CC BY 4.0 (as figshare states)",
        citation="Li et al., Front. Neurosci. 11:309 (2017), doi:10.3389/fnins.2017.00309",
        source="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
        layouts={"": (tuple(f"{name}//*.aedat*" for name in CIFAR), tuple(f"{name}.zip" for name in CIFAR))},
        folders=("cifar10dvs", "CIFAR10DVS", "CIFAR10-DVS"),
        checksums={},
        tonic="CIFAR10DVS",
        notes="no official split: dealt out 80 / 10 / 10 in every class",
    ),
    "dvsgesture": Entry(
        module=f"{SETS}.gesture",
        summary="11 hand and arm gestures of 29 people under three lights, DVS128 event camera",
        splits=("train", "test"),
        samples={},
        classes=11,
        grid=(2, 128, 128),
        licence="CC BY 4.0",
        citation="Amir et al., A Low Power, Fully Event-Based Gesture Recognition System, CVPR (2017)",
        source="https://research.ibm.com/interactive/dvsgesture/",
        layouts={
            "": (("DvsGesture//trials_to_train.txt",), ("DvsGesture.tar.gz",)),
            "train": (("ibmGestureTrain",), ("ibmGestureTrain.tar.gz",)),
            "test": (("ibmGestureTest",), ("ibmGestureTest.tar.gz",)),
        },
        folders=("dvsgesture", "DVSGesture"),
        checksums={
            "ibmGestureTrain.tar.gz": "md5:3a8f0d4120a166bac7591f77409cb105",
            "ibmGestureTest.tar.gz": "md5:56070e45dadaa85fff82e0fbfbc06de5",
        },
        tonic="DVSGesture",
        notes="the authors' archive has microseconds, the cut version that tonic downloads whole milliseconds",
    ),
    "shd": Entry(
        module=f"{SETS}.cochlea",
        summary="spoken digits in English and German as spikes of an artificial cochlea with 700 channels",
        splits=("train", "test"),
        samples={"train": 8156, "test": 2264},
        classes=20,
        grid=(1, 1, 700),
        licence="CC BY 4.0",
        citation="Cramer et al., IEEE TNNLS 33:2744-2757 (2022), doi:10.1109/TNNLS.2020.3044364",
        source="https://zenkelab.org/datasets/",
        layouts={s: tuple((f"shd_{s}.h5{e}",) for e in ("", ".gz", ".zip")) for s in ("train", "test")},
        folders=("shd", "SHD", "hsd"),
        checksums={
            "shd_train.h5.zip": "md5:f3252aeb598ac776c1b526422d90eecb",
            "shd_test.h5.zip": "md5:1503a5064faa34311c398fb0a1ed0a6f",
        },
        tonic="SHD",
        notes="two of twelve speakers are in the test part only, the others in both",
    ),
    "ssc": Entry(
        module=f"{SETS}.cochlea",
        summary="Speech Commands as spikes of an artificial cochlea with 700 channels",
        splits=("train", "valid", "test"),
        samples={"train": 75_466, "valid": 9_981, "test": 20_382},
        classes=35,
        grid=(1, 1, 700),
        licence="CC BY 4.0",
        citation="Cramer et al., IEEE TNNLS 33:2744-2757 (2022), doi:10.1109/TNNLS.2020.3044364",
        source="https://zenkelab.org/datasets/",
        layouts={
            s: tuple((f"ssc_{s}.h5{e}",) for e in ("", ".gz", ".zip")) for s in ("train", "valid", "test")
        },
        folders=("ssc", "SSC", "hsd", "SSC/SSC"),
        checksums={
            "ssc_train.h5.zip": "md5:d102be95e7144fcc0553d1f45ba94170",
            "ssc_valid.h5.zip": "md5:b4eee3516a4a90dd0c71a6ac23a8ae43",
            "ssc_test.h5.zip": "md5:a35ff1e9cffdd02a20eb850c17c37748",
        },
        tonic="SSC",
    ),
    "ntidigits": Entry(
        module=f"{SETS}.cochlea",
        summary="spoken digits (TIDIGITS) as spikes of a silicon cochlea with 64 channels",
        splits=("train", "test"),
        samples={},
        classes=11,
        grid=(1, 1, 64),
        licence="not stated; the underlying TIDIGITS belongs to the LDC",
        citation="Anumula et al., Front. Neurosci. 12:23 (2018), doi:10.3389/fnins.2018.00023",
        source="https://docs.google.com/document/d/1Uxe7GsKKXcy6SlDUX4hoJVAC0-UkH-8kr5UXp0Ndi1M",
        layouts={"": (("n-tidigits.hdf5",),)},
        folders=("ntidigits", "NTIDIGITS18", "N-TIDIGITS18"),
        checksums={"n-tidigits.hdf5": "md5:360a2d11e5429555c9197381cf6b58e0"},
        tonic="NTIDIGITS18",
        notes="single=False gives the recordings of several digits too",
    ),
    "asl-dvs": Entry(
        module=f"{SETS}.recordings",
        summary="24 letters of American Sign Language by five people, DAVIS240C event camera",
        splits=("train", "valid", "test", "all"),
        samples={"all": 100_800},
        classes=24,
        grid=(2, 180, 240),
        licence="not stated",
        citation="Bi et al., Graph-based Object Classification for Neuromorphic Vision Sensing, ICCV (2019)",
        source="https://github.com/PIX2NVS/NVS2Graph",
        layouts={"": (tuple(f"{k}//*.mat" for k in LETTERS), tuple(f"{k}.zip" for k in LETTERS))},
        folders=("asl-dvs", "ASLDVS", "ASL-DVS", "ICCV2019_DVS_dataset", "ASLDVS/ICCV2019_DVS_dataset"),
        checksums={"ASLDVS.zip": "md5:33f8b87bf45edc0bfed0de41822279b9"},
        tonic="ASLDVS",
        notes="no official split: dealt out 80 / 10 / 10 in every class, people mixed; unpack ASLDVS.zip and those in it",
    ),
    "pokerdvs": Entry(
        module=f"{SETS}.recordings",
        summary="suits of poker cards browsed in front of an event camera, 35x35 pixels around them",
        splits=("train", "test"),
        samples={"train": 48, "test": 20},
        classes=4,
        grid=(2, 35, 35),
        licence="not stated",
        citation="Serrano-Gotarredona & Linares-Barranco, Front. Neurosci. 9:481 (2015), doi:10.3389/fnins.2015.00481",
        source="http://www2.imse-cnm.csic.es/caviar/POKERDVS.html",
        layouts={s: ((f"pips_{s}",), (f"pips_{s}.tar.gz",)) for s in ("train", "test")},
        folders=("pokerdvs", "POKERDVS"),
        checksums={
            "pips_train.tar.gz": "md5:412bcfb96826e4fcb290558e8c150aae",
            "pips_test.tar.gz": "md5:eef2bf7d0d3defae89a6fa98b07c17af",
        },
        tonic="POKERDVS",
    ),
    "dsec": Entry(
        module=f"{SETS}.dsec",
        summary="driving in Switzerland by day and night, two event cameras; recordings stay in their files",
        splits=("train", "test"),
        samples={"train": 41, "test": 12},
        classes=0,
        grid=(2, 480, 640),
        licence="CC BY-SA 4.0",
        citation="Gehrig et al., IEEE RA-L 6:4947-4954 (2021), doi:10.1109/LRA.2021.3068942",
        source="https://dsec.ifi.uzh.ch",
        layouts={"": (("*/events_*/events.h5",), ("*/events/*/events.h5",))},
        folders=("dsec", "DSEC", *(f"{d}/{s}" for d in ("dsec", "DSEC") for s in ("train", "test"))),
        checksums={},
        tonic="DSEC",
        notes="the label is the number of the sequence; reading needs hdf5plugin",
    ),
    "braille": Entry(
        module=f"{SETS}.braille",
        summary="seven Braille letters felt by a robot's fingertip with 12 sensors, as spikes",
        splits=("train", "valid", "test", "all"),
        samples={"all": 1158},
        classes=7,
        grid=(1, 1, 12),
        licence="files Apache-2.0; the recordings' own licence is not stated",
        citation="Müller-Cleve et al., Front. Neurosci. 16:951164 (2022), doi:10.3389/fnins.2022.951164",
        source="https://github.com/neuromorphic-polito/L2MU-Braille (data/)",
        size=1_015_430,
        layouts={"": (("braille_splitted*.tar.gz",), ("braille_splitted",), ("ds_val_0.pt",))},
        folders=("braille", "braille_7class", "data"),
        checksums={
            "braille_splitted_val0-9.tar.gz": (
                "sha256:c23687e7f32c713d8843cd2eb7dba33fc7c88803c597df74d7f59bf177c1a866"
            )
        },
        notes="the published files overlap: the union is dealt out 70 / 10 / 20 in every class",
    ),
}

OTHERS = {
    "mnist": Entry(
        module=f"{SETS}.idx",
        summary="70 000 handwritten digits, grey pictures of 28x28 pixels",
        kind="pictures",
        splits=("train", "test"),
        samples={"train": 60_000, "test": 10_000},
        classes=10,
        shape="1x28x28 in [0, 1]",
        licence="not stated; commonly distributed as CC BY-SA 3.0",
        citation="LeCun et al., Proc. IEEE 86:2278-2324 (1998), doi:10.1109/5.726791",
        source="https://ossci-datasets.s3.amazonaws.com/mnist/",
        size=11_594_722,
        layouts=MNIST_FILES,
        folders=("mnist", "MNIST", "MNIST/raw"),
        checksums={
            "train-images-idx3-ubyte.gz": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashionmnist": Entry(
        module=f"{SETS}.idx",
        summary="70 000 articles of clothing, grey pictures of 28x28 pixels",
        kind="pictures",
        splits=("train", "test"),
        samples={"train": 60_000, "test": 10_000},
        classes=10,
        shape="1x28x28 in [0, 1]",
        licence="MIT",
        citation="Xiao, Rasul, Vollgraf, arXiv:1708.07747 (2017)",
        source="https://github.com/zalandoresearch/fashion-mnist (data/fashion)",
        size=30_878_645,
        layouts=MNIST_FILES,
        folders=("fashion_mnist", "fashionmnist", "FashionMNIST", "FashionMNIST/raw"),
        checksums={
            "train-images-idx3-ubyte.gz": "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "fsdd": Entry(
        module=f"{SETS}.speech",
        summary="3 000 spoken digits of six speakers, 8 kHz",
        kind="audio",
        splits=("train", "test", "all"),
        samples={"train": 2700, "test": 300, "all": 3000},
        classes=10,
        shape="samples at 8 kHz in [-1, 1), 0.14 to 2.3 s",
        licence="CC BY-SA 4.0",
        citation="Jackson et al., Free Spoken Digit Dataset, doi:10.5281/zenodo.1342401",
        source="https://github.com/Jakobovski/free-spoken-digit-dataset",
        size=15_568_252,
        layouts={
            "": (
                ("fsdd_recordings.tar.gz",),
                ("recordings//*_*_*.wav",),
                ("free-spoken-digit-dataset-*.zip",),
                ("free-spoken-digit-dataset-*.tar.gz",),
            )
        },
        folders=("fsdd", "free-spoken-digit-dataset"),
        checksums={
            "fsdd_recordings.tar.gz": "sha256:feaa3178c94aba054de8fc4cdd95af4c2ee1793b932ae69f1c6dbd3037f84de9"
        },
        notes="the official split has all speakers in both parts; split(fraction, by='speaker') keeps them apart",
    ),
    "speechcommands": Entry(
        module=f"{SETS}.speech",
        summary="spoken commands of a second, 16 kHz: Speech Commands v0.02, or its test archive of 12 classes",
        kind="audio",
        splits=("train", "valid", "test", "all"),
        samples={},
        classes=35,
        shape="samples at 16 kHz in [-1, 1), up to 1 s",
        licence="CC BY 4.0",
        citation="Warden, arXiv:1804.03209 (2018)",
        source="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        layouts={
            "": (
                ("speech_commands_v0.02.tar.gz",),
                ("speech_commands_v0.02",),
                ("speech_commands_test_set_v0.02.tar.gz",),
                ("speech_commands_test_set_v0.02",),
                ("gsc_v2_testset_subset.tar.gz",),
                ("testing_list.txt",),
            )
        },
        folders=("speechcommands", "speech_commands", "SpeechCommands", "speech_commands_v2_subset"),
        checksums={
            "gsc_v2_testset_subset.tar.gz": (
                "sha256:19447c07b0383f20f611a19982976608665feb44935def275456a47757bad47b"
            )
        },
        notes="split by speaker: officially for the whole set, 80 / 10 / 10 by a hash for the test archive's",
    ),
    "har": Entry(
        module=f"{SETS}.har",
        summary="five activities of 23 people: accelerometer and gyroscope of a smartwatch and a smartphone",
        kind="motion",
        splits=("train", "valid", "test", "all"),
        samples={},
        classes=5,
        shape="samples x 6 at about 100 Hz, m/s² and rad/s",
        licence="CC BY 4.0",
        citation="Matey-Sanz, Casteleyn, Granell, Data in Brief 51:109809 (2023), doi:10.1016/j.dib.2023.109809",
        source="https://github.com/GeoTecINIT/sp-sw-har-dataset",
        size=27_196_121,
        layouts={"": (("sp-sw-har-DATA.tar.gz",), ("DATA//s01",), ("sp-sw-har-dataset-*.zip",))},
        folders=("har", "har_geotec_sp_sw", "sp-sw-har-dataset"),
        checksums={
            "sp-sw-har-DATA.tar.gz": "sha256:e3bc5c0c41169f6630232d6c095f76bd2e233cd83b43d56cc043cbb5a0ae80ad"
        },
        notes="no official split: people are dealt out 70 / 10 / 20; none is in two parts",
    ),
    "lens": Entry(
        module=f"{SETS}.lens",
        summary="place recognition: event-count frames along a route driven twice, with ground truth",
        kind="pictures",
        splits=("reference", "query"),
        samples={"reference": 724, "query": 641},
        classes=724,
        shape="1x7x7 in [0, 1] (collection='example': 1x80x80)",
        licence="MIT",
        citation="Hines, Milford, Fischer, arXiv:2408.16754 (2024)",
        source="https://github.com/AdamDHines/LENS (lens/dataset)",
        size=934_832,
        layouts={
            "": (
                ("lens_dataset_models.tar.gz",),
                ("lens/dataset",),
                ("brisevent", "example"),
                ("LENS-*.zip",),
            )
        },
        folders=("lens", "LENS", "lens_vpr_event"),
        checksums={
            "lens_dataset_models.tar.gz": "sha256:e903e85ea1130168759cb3d3b31795b14c9f4f668fb13397fd291dd2771d0bc9"
        },
    ),
}

ENTRIES = EVENTS | OTHERS
