// Pictures: the heat map's colours as the service draws them, the mask's tint.
// inferno by the polynomial that the service's own heat maps use
const TERMS = [
  [0.0002189404, 0.0016510046, -0.0194808984], [0.1065134195, 0.5639564368, 3.9327123889],
  [11.6024930825, -3.9728539657, -15.9423941063], [-41.7039961314, 17.4363988821, 44.3541451984],
  [77.1629356994, -33.4023589421, -81.8073092574], [-71.319428245, 32.626064264, 73.209519858],
  [25.1311262248, -12.2426689524, -23.0703250029]];
export const inferno = (t) => [0, 1, 2].map((c) => 255 * Math.max(0, Math.min(1, TERMS.reduceRight((sum, term) => sum * t + term[c], 0))));

// To 0..1 between the 2nd and the 98th percentile, as the service draws it.
export function normalized(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const tail = Math.round((sorted.length - 1) * 0.02);
  let [low, high] = [sorted[tail], sorted[sorted.length - 1 - tail]];
  if (low >= high) [low, high] = [sorted[0], sorted.at(-1)];
  return values.map((v) => (low < high ? Math.max(0, Math.min(1, (v - low) / (high - low))) : 0));
}

const CELLS = 256;
export function drawHeat(canvas, film, map) {
  const { grid, crop } = film.maps;
  const small = new OffscreenCanvas(CELLS, CELLS);
  const pixels = new ImageData(CELLS, CELLS);
  const near = Array.from({ length: CELLS }, (_, i) => {
    const x = Math.max(0, Math.min(grid - 1, ((i + 0.5) * grid) / CELLS - 0.5));
    return [Math.floor(x), Math.min(Math.floor(x) + 1, grid - 1), x % 1];
  });
  for (const [row, [y0, y1, ty]] of near.entries()) {
    for (const [column, [x0, x1, tx]] of near.entries()) {
      const line = (y) => map[y * grid + x0] * (1 - tx) + map[y * grid + x1] * tx;
      const t = line(y0) * (1 - ty) + line(y1) * ty;
      pixels.data.set([...inferno(t), 255 * t], 4 * (row * CELLS + column));
    }
  }
  small.getContext("2d").putImageData(pixels, 0, 0);
  const scale = 1024 / Math.max(film.width, film.height);
  [canvas.width, canvas.height] = [Math.round(film.width * scale), Math.round(film.height * scale)];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "rgb(0 0 0 / .75)"; // what the model did not look at is dimmed
  context.fillRect(0, 0, canvas.width, canvas.height);
  const box = [crop.left, crop.top, crop.width, crop.height].map((v) => v * scale);
  context.clearRect(...box);
  context.drawImage(small, ...box);
}

// White becomes a tint with a bright edge, black nothing.
export function tinted(bitmap) {
  const scale = Math.min(1, 1024 / Math.max(bitmap.width, bitmap.height));
  const [w, h] = [Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale))];
  const layer = new OffscreenCanvas(w, h);
  const context = layer.getContext("2d");
  context.drawImage(bitmap, 0, 0, w, h);
  const image = context.getImageData(0, 0, w, h);
  const { data } = image;
  const inside = Uint8Array.from({ length: w * h }, (_, i) => (data[4 * i] > 127 ? 1 : 0));
  for (let i = 0; i < w * h; i++) {
    const [x, y] = [i % w, (i / w) | 0];
    const edge = inside[i] && [-2, 2].some((d) => !inside[y * w + Math.max(0, Math.min(w - 1, x + d))] || !inside[Math.max(0, Math.min(h - 1, y + d)) * w + x]);
    data.set([121, 203, 221, edge ? 255 : inside[i] * 46], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return layer;
}
