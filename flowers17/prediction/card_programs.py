"""The programs on model cards: a photograph to a class, by packages other than flowers17."""

from flowers17.config import ResizeName
from flowers17.prediction.exporting import OUTPUT

# Pillow, given a path instead of an open file, does not turn an uncompressed TIFF.
_IMAGES = """labels = json.load(open("{file}.labels.json", encoding="utf-8"))
image = ImageOps.exif_transpose(Image.open(open("photo.jpg", "rb")))
if image.mode.startswith("I"):  # 16-bit grey
    image = image.convert("I").point(lambda grey: grey / 257 + 0.5).convert("RGB")
else:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
{square}


images = {{item["name"]: square(item["shape"][1]) for item in labels["inputs"]}}"""
_STRETCH = """def square(size):
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))[None]"""
_SQUARE = {
    "crop": f"""side = min(image.size)
left, top = ((length - side + 1) // 2 for length in image.size)
image = image.crop((left, top, left + side, top + side))


{_STRETCH}""",
    "pad": """

def square(size):
    scale = size / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    padded = Image.new("RGB", (size, size))
    inner = image.resize((width, height), Image.Resampling.BICUBIC)
    padded.paste(inner, ((size - width + 1) // 2, (size - height + 1) // 2))
    return np.asarray(padded)[None]""",
    "stretch": f"\n\n{_STRETCH}",
}
_NAMED = 'print(labels["classes"][int(proba.argmax())], float(proba.max()))'
_USES = {
    ".keras": f"""import json
import keras, numpy as np
from PIL import Image, ImageOps

model = keras.models.load_model("{{file}}", compile=False)
{_IMAGES}
proba = model.predict([images[tensor.name] for tensor in model.inputs], verbose=0)[0]
{_NAMED}""",
    ".onnx": f"""import json
import numpy as np, onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("{{file}}", providers=["CPUExecutionProvider"])
{_IMAGES}
proba = session.run(["{OUTPUT}"], images)[0][0]
{_NAMED}""",
}


def program(file: str, resize: ResizeName) -> str:
    """Program that loads an exported file and names the class of a photograph."""
    return _USES[file[file.rindex(".") :]].format(file=file, square=_SQUARE[resize])
