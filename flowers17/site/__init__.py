"""The site: what a store holds, as pages for a browser."""
