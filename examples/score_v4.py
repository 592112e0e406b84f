"""Score two models against simulated V4 in both time modes, from Python; about a minute on two cores once hvm-sim is built."""

import neurofit

recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 100))
print("time bins (ms):", *(f"{start}-{end}" for start, end in recording.time_bins))
for name in ("timedecay_tiny", "rgc_tiny"):
    model = neurofit.create_model(name)
    activations = neurofit.extract(model, recording.stimuli, layers=["conv3"], time_bins=recording.time_bins)
    for time_mode in ("per-bin", "fixed"):
        config = neurofit.ScoreConfig(region="V4", mapping="ridge", time_mode=time_mode, layers=("conv3",))
        result = neurofit.score(activations, recording, config)
        print(f"{name:15} {time_mode:8}", *(f"{value:5.2f}" for value in result.curve.values[0]))
