// A short sound, made on the spot: nothing is loaded.

import type { Level } from "../types";

const NOTES: Record<Level, number[]> = { info: [660], success: [660, 880], warning: [523, 466], error: [440, 349, 440] };

let context: AudioContext | null = null;

/** Plays it, if the browser lets a page make sounds. */
export function chime(level: Level): void {
  try {
    context ??= new AudioContext();
    const audio = context;
    NOTES[level].forEach((pitch, index) => {
      const begin = audio.currentTime + index * 0.13;
      const tone = new OscillatorNode(audio, { frequency: pitch, type: "sine" });
      const loud = new GainNode(audio, { gain: 0 });
      loud.gain.setValueAtTime(0, begin);
      loud.gain.linearRampToValueAtTime(0.12, begin + 0.015);
      loud.gain.exponentialRampToValueAtTime(0.001, begin + 0.16);
      tone.connect(loud).connect(audio.destination);
      tone.start(begin);
      tone.stop(begin + 0.18);
    });
  } catch {
    // No sound is no harm: the bell moves as well.
  }
}
