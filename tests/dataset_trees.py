"""A tree of tiny files for every layout of data sets, and the records that it becomes."""

from __future__ import annotations

from pathlib import Path

from camtrace.lab.datasets import Record

Expected = tuple[str, str, str, str, tuple[str, ...]]  # camera, device, scene, quality, tags


def original(camera: str, device: str, scene: str, *tags: str) -> Expected:
    return camera, f"{camera}/{device}", scene, "original", tags


S3, E3, J50 = "Samsung GalaxyS3Mini", "Motorola E3", "FujiFilm FinePixJ50"
NAT, PLACE_1, PLACE_2 = f"{S3}/D01/nat", "dresden/position 1 motive 7", "dresden/position 12 motive 7"
P20 = "Huawei P20"

# layout -> files of a tree, with the record that each becomes; None where it must become none
TREES: dict[str, dict[str, Expected | None]] = {
    "folders": {
        "Nikon_D90/body1/a.jpg": original("Nikon D90", "body1", "Nikon D90/body1"),
        "Nikon_D90/body2/b.JPG": original("Nikon D90", "body2", "Nikon D90/body2"),
        "Sony_X/c.jpeg": original("Sony X", "0", "Sony X/0"),
        "Sony_X/._c.jpeg": None,
        "Sony_X/notes.txt": None,
        ".thumbnails/c.jpg": None,
    },
    "manifest": {
        "a/1.jpg": original("Nikon D90", "d0", "beach"),
        "a/2.jpg": ("Nikon D90", "Nikon D90/d1", "town", "whatsapp", ()),
        "b/3.jpg": original("Sony X", "d0", "beach"),
        "b/4.jpg": None,
        "photos.csv": None,
    },
    "dresden": {
        "scenes.csv": None,
        "Dresden_Exp/FujiFilm_FinePixJ50_0/FujiFilm_FinePixJ50_1_8493.JPG": original(J50, "1", PLACE_1),
        "Dresden_Exp/FujiFilm_FinePixJ50_0/._FujiFilm_FinePixJ50_1_8493.JPG": None,
        "Dresden_Exp/Nikon_D200_0/Nikon_D200_0_14303.JPG": original("Nikon D200", "0", PLACE_1),
        "Dresden_Exp/Nikon_D200_0/Nikon_D200_0_14304.JPG": original("Nikon D200", "0", PLACE_2),
        "Dresden_Exp/Nikon_D200_0/Nikon_D200_0_14305.JPG": None,  # not in the CSV
        "Dresden_Exp/Nikon_D200_0/contact sheet.jpg": None,
        "Dresden_Exp/Nikon_D200_1/Nikon_D200_0_14303.JPG": None,  # there already
        "Dresden_Exp/Nikon_D70_0/Nikon_D70_0_19661.JPG": original("Nikon D70", "0", PLACE_1),
        "Dresden_Exp/Nikon_D70s_0/Nikon_D70s_0_21963.JPG": ("Nikon D70", "Nikon D70s/0", PLACE_2, "original", ()),
        "Dresden_Exp/Olympus/Olympus_mju_1050SW_3_22345.jpg": original("Olympus mju 1050SW", "3", PLACE_1),
        "Dresden_Exp/Olympus/Olympus_mju-1050SW_4_22346.jpg": original("Olympus mju-1050SW", "4", PLACE_1),
        "Dresden_Exp/Praktica_DCZ5.9_0/Praktica_DCZ5.9_0_35030.JPG": original("Praktica DCZ5.9", "0", PLACE_2),
    },
    "vision": {
        "dataset/D01_Samsung_GalaxyS3Mini/images/flat/D01_I_flat_0001.jpg": original(S3, "D01", f"{S3}/D01/flat", "flat"),
        "dataset/D01_Samsung_GalaxyS3Mini/images/nat/._D01_I_nat_0001.jpg": None,
        "dataset/D01_Samsung_GalaxyS3Mini/images/nat/D01_I_nat_0001.jpg": original(S3, "D01", NAT),
        "dataset/D01_Samsung_GalaxyS3Mini/images/nat/D02_I_nat_0001.jpg": None,  # another device's
        "dataset/D01_Samsung_GalaxyS3Mini/images/natFBH/D01_I_natFBH_0001.jpg": (S3, f"{S3}/D01", NAT, "facebook high", ()),
        "dataset/D01_Samsung_GalaxyS3Mini/images/natFBL/D01_I_natFBL_0001.jpg": (S3, f"{S3}/D01", NAT, "facebook low", ()),
        "dataset/D01_Samsung_GalaxyS3Mini/images/natWA/D01_I_natWA_0001.JPG": (S3, f"{S3}/D01", NAT, "whatsapp", ()),
        "dataset/D01_Samsung_GalaxyS3Mini/videos/flat/frame.png": None,
        "dataset/D03_Huawei_P9/images/nat/D03_I_nat_0001.jpg": original("Huawei P9", "D03", "Huawei P9/D03/nat"),
        "dataset/D26_Samsung_GalaxyS3Mini/images/nat/D26_I_nat_0001.jpg": original(S3, "D26", f"{S3}/D26/nat"),
        "dataset/readme.txt": None,
    },
    "floreview": {
        "Dataset/D02_Apple_iPhoneX/Nat/heic-h265/L1/S3/D02_L1S3C1.HEIC": original("Apple iPhoneX", "D02", "floreview/L1S3", "heic"),
        "Dataset/D02_Apple_iPhoneX/Nat/jpeg-h264/L1/S3/D02_L1S3C1.jpg": original("Apple iPhoneX", "D02", "floreview/L1S3"),
        "Dataset/D02_Apple_iPhoneX/Nat/jpeg-h264/L1/S3/D02_L1S3C4.mp4": None,
        "Dataset/D02_Apple_iPhoneX/Nat/jpeg-h264/L7/S3/D02_L7S3C1.jpg": original("Apple iPhoneX", "D02", "floreview/L7S3"),
        "Dataset/D02_Apple_iPhoneX/Nat/jpeg-h264/L7/S3/IMG_1.jpg": None,
        "Dataset/D17_Samsung_GalaxyS21+/Nat/jpeg-h264/L1/S3/D17_L1S3C2.jpg": original("Samsung GalaxyS21+", "D17", "floreview/L1S3"),
    },
    "fodb": {
        "D01_Motorola_E3_1/orig/D01_img_orig_0001.jpg": original(E3, "D01", "fodb/0001"),
        "D01_Motorola_E3_1/whatsapp/D01_img_whatsapp_0001.jpg": (E3, f"{E3}/D01", "fodb/0001", "whatsapp", ()),
        "D02_Motorola_E3_2/instagram/D02_img_instagram_0143.jpg": (E3, f"{E3}/D02", "fodb/0143", "instagram", ()),
        "D02_Motorola_E3_2/orig/D02_img_orig_0001.jpg": original(E3, "D02", "fodb/0001"),
        "D02_Motorola_E3_2/orig/D02_img_orig_0001 (1).jpg": None,
        "D05_Apple_iPhone6s_1/orig/D05_img_orig_0001.jpg": original("Apple iPhone6s", "D05", "fodb/0001"),
        "inspection/check_devices/helper.jpg": None,
    },
    "sp_cup": {
        "test/img_0a1_manip.tif": None,
        "test/img_0a1_unalt.tif": None,
        "train/HTC-1-M7/(HTC-1-M7)148.jpg": original("HTC-1-M7", "0", "HTC-1-M7/0"),
        "train/Motorola-Nexus-6/(MotoNex6)1.JPG": original("Motorola-Nexus-6", "0", "Motorola-Nexus-6/0"),
        "train/Motorola-Nexus-6/(MotoNex6)2.JPG": original("Motorola-Nexus-6", "0", "Motorola-Nexus-6/0"),
    },
    "socrates": {
        "Apple_iPhone_6/a.jpg": original("Apple iPhone 6", "0", "Apple iPhone 6/0"),
        "Apple_iPhone_7/a.jpg": original("Apple iPhone 7", "0", "Apple iPhone 7/0"),
        "Samsung_GalaxyS6_01/near/far/a.jpg": original("Samsung GalaxyS6", "01", "Samsung GalaxyS6/01"),
        "Samsung_GalaxyS6_02/a.jpg": original("Samsung GalaxyS6", "02", "Samsung GalaxyS6/02"),
        "Samsung_GalaxyS6_d12/a.jpg": original("Samsung GalaxyS6", "d12", "Samsung GalaxyS6/d12"),
        "agreement.jpg": None,
    },
    "daxing": {
        "image/1101-1104/1101/90/IMG_1.jpg": original(P20, "1101", f"{P20}/1101", "90 degrees"),
        "image/1101-1104/1102/0/IMG_1.jpg": original(P20, "1102", f"{P20}/1102", "0 degrees"),
        "image/1105/90/IMG_1.jpg": original(P20, "1105", f"{P20}/1105", "90 degrees"),
        "image/2301/sky/IMG_2.jpg": original("Daxing 23", "2301", "Daxing 23/2301"),
        "image/overview.jpg": None,
    },
}
TEXTS = {
    "photos.csv": "\n".join(
        [
            "file,camera,device,scene,quality",
            "a/1.jpg,Nikon D90,d0,beach,",
            "a/2.jpg,Nikon D90,d1,town,whatsapp",
            "b/3.jpg,Sony X,d0,beach,",
        ]
    ),
    "scenes.csv": "\n".join(
        [
            "\ufefffilename,brand,model,instance,shot,position_num,position_name,motive_num,motive_name,url",
            "FujiFilm_FinePixJ50_1_8493.JPG,FujiFilm,FinePixJ50,1,8493,1,Here,7,Left,http://x",
            "Nikon_D200_0_14303.JPG,Nikon,D200,0,14303,1,Here,7,Left,http://x",
            "Nikon_D200_0_14304.JPG,Nikon,D200,0,14304,12,There,7,Left,http://x",
            "Nikon_D70_0_19661.jpg,Nikon,D70,0,19661,1,Here,7,Left,http://x",
            "Nikon_D70s_0_21963.JPG,Nikon,D70s,0,21963,12,There,7,Left,http://x",
            "Olympus_mju_1050SW_3_22345.JPG,Olympus,mju 1050SW,3,22345,1,Here,7,Left,http://x",
            "Olympus_mju-1050SW_4_22346.JPG,Olympus,mju 1050SW,4,22346,1,Here,7,Left,http://x",
            "Praktica_DCZ5.9_0_35030,Praktica,DCZ5.9,0,35030,12,There,7,Left,http://x",
            "Rollei_RCP-7325XS_0_1.JPG,Rollei,RCP-7325XS,0,1,12,There,7,Left,http://x",
        ]
    ),
}


def build(name: str, root: Path, *, backwards: bool = False) -> Path:
    """Write a layout's tree into a folder of its name within `root`."""
    for path in sorted(TREES[name], reverse=backwards):
        file = root / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TEXTS.get(path, "tiny"), "utf-8")
    return root / name


def seen(root: Path, records: list[Record]) -> dict[str, Expected]:
    return {
        record.path.relative_to(root).as_posix(): (record.camera, record.device, record.scene, record.quality, record.tags)
        for record in records
    }
