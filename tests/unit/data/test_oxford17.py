import hashlib

import pytest

from flowers17.data import oxford17
from flowers17.errors import ChecksumMismatch, InvalidInput


def test_known_images_are_numbered_from_1_to_1360() -> None:
    known = oxford17.known_image_digests()
    assert sorted(known) == [oxford17.image_name(number) for number in range(1, 1361)]
    assert {len(digest) for digest in known.values()} == {64}
    assert len(set(known.values())) == 1360


def test_known_near_duplicates_are_70_pairs_within_classes() -> None:
    pairs = oxford17.known_near_duplicates()
    assert len(pairs) == 70
    assert all((first - 1) // 80 == (second - 1) // 80 for first, second in pairs)
    assert all(1 <= first < second <= 1360 for first, second in pairs)


def test_damaged_package_data_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oxford17, "IMAGE_LIST_SHA256", "0" * 64)
    oxford17.known_image_digests.cache_clear()
    try:
        with pytest.raises(ChecksumMismatch, match="install flowers17 again"):
            oxford17.known_image_digests()
    finally:
        monkeypatch.undo()
        oxford17.known_image_digests.cache_clear()


def test_official_images_are_verified() -> None:
    known = oxford17.known_image_digests()
    assert oxford17.is_verified(known, required=True)
    assert oxford17.is_verified(known, required=False)


def test_altered_image_is_unverified_or_refused_where_required() -> None:
    digests = dict(oxford17.known_image_digests())
    digests["jpg/image_0007.jpg"] = hashlib.sha256(b"other").hexdigest()
    assert not oxford17.is_verified(digests, required=False)
    with pytest.raises(ChecksumMismatch, match=r"image_0007\.jpg \(1 differ\)"):
        oxford17.is_verified(digests, required=True)


def test_official_image_under_another_name_is_refused() -> None:
    digests = dict(oxford17.known_image_digests())
    first, second = "jpg/image_0001.jpg", "jpg/image_0100.jpg"
    digests[first], digests[second] = digests[second], digests[first]
    for required in (True, False):
        with pytest.raises(InvalidInput, match=r"image_0001.*official jpg/image_0100.*2 renamed"):
            oxford17.is_verified(digests, required=required)
