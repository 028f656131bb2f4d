"""The file formats, one a module (or a family of formats that share their words); `eventzoo.io.encodings` lists them."""
