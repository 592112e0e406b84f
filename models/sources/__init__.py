"""Models of other packages and of one's own files, by name: `SOURCE:NAME?key=value&key=value`.

| name | what it is |
| --- | --- |
| `timm:NAME`, `torchvision:NAME` | models of these packages |
| `hf:OWNER/NAME`, `hf:FOLDER` | vision models of transformers |
| `brainscore:NAME` | models of Brain-Score, in its environment |
| `file:PATH` | a model file: weights with their architecture, or an architecture (.json) |
| `FILE.py:FACTORY`, `package.module:FACTORY` | a function that returns a network; its code is run |
"""
