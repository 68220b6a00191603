// Draws and plays the tune in a [data-abc] of `element`; ABCJS_URL is put in by tab.py. The library lies beside this file.
const library = () => window.abcjsLoading ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = 'ABCJS_URL';
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
});
let playing = null;

const stop = () => {
    playing?.close();
    playing = null;
    const button = element.querySelector('button.play');
    if (button) button.textContent = 'Play';
};

const play = (tune) => {
    playing = new AudioContext();
    const sequence = tune.setUpAudio({});
    const whole = 4 * 60 / (sequence.tempo || 180);  // seconds of a whole note
    let end = 0;
    for (const note of sequence.tracks.flat().filter((event) => event.cmd === 'note')) {
        const start = playing.currentTime + 0.1 + note.start * whole, length = Math.max(0.05, note.duration * whole);
        const oscillator = playing.createOscillator(), gain = playing.createGain();
        oscillator.type = 'triangle';
        oscillator.frequency.value = 440 * 2 ** ((note.pitch - 69) / 12);
        gain.gain.setValueAtTime(0, start);
        gain.gain.linearRampToValueAtTime(0.15, start + 0.01);
        gain.gain.exponentialRampToValueAtTime(0.001, start + length);
        oscillator.connect(gain).connect(playing.destination);
        oscillator.start(start);
        oscillator.stop(start + length);
        end = Math.max(end, start + length);
    }
    const context = playing;
    setTimeout(() => { if (context === playing) stop(); }, 1000 * (end - context.currentTime));
};

const draw = async () => {
    const tune = element.querySelector('[data-abc]');
    if (!tune || tune.dataset.drawn) return;
    tune.dataset.drawn = 'yes';
    stop();
    await library();
    const staves = tune.querySelector('.staves'), wide = staves.clientWidth > 500;
    const [drawn] = ABCJS.renderAbc(staves, tune.dataset.abc, {  // a tune is one long line: it goes on in the next staff
        responsive: 'resize',
        staffwidth: wide ? 620 : 340,
        wrap: {minSpacing: 1.5, maxSpacing: 2.8, preferredMeasuresPerLine: wide ? 4 : 2},
    });
    const button = tune.querySelector('button.play');
    button.disabled = false;
    button.onclick = () => {
        if (playing) return stop();
        button.textContent = 'Stop';
        play(drawn);
    };
};
new MutationObserver(draw).observe(element, {childList: true, subtree: true});
draw();
