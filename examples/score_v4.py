"""Score two models on simulated V4 in both time modes.

About a minute on two cores once hvm-sim is built.
"""

import neurofit

recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 100))
print("noise-corrected r in", *(f"{start}-{end}" for start, end in recording.time_bins), "ms")
for name in ("timedecay_tiny", "rgc_tiny"):
    model = neurofit.create_model(name)  # weights="random" for the untrained net
    print(f"{name}, {model.weights_origin}")
    activations = neurofit.extract(
        model, recording.stimuli, layers=["conv3"], time_bins=recording.time_bins
    )
    for time_mode in ("per-bin", "fixed"):
        config = neurofit.ScoreConfig(mapping="ridge", time_mode=time_mode, layers=("conv3",))
        result = neurofit.score(activations, recording, config)
        curve = result.curve.sel(layer="conv3")
        print(f"  {time_mode:8}", *(f"{value:5.2f}" for value in curve.values))
