"""A package, so that `serve` and the browser, which its tests share, end with the last of them."""
